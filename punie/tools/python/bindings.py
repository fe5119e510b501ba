"""Where the names in an expression come from, as far as the syntax of one file tells."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from punie.tools.python.namings import column_in

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_IMPORT_FAILS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
_MAX_STEPS = 400


@dataclass(frozen=True)
class Imported:
    """A name that an import binds: where the name of what it imports stands in the file.

    `package` is the first part of the module's name, "" for one that is named from where it is.
    """

    line: int
    column: int
    package: str


@dataclass
class Origins:
    """Where a value can come from: imports, and whether it may be whatever a caller gives."""

    imports: set[Imported] = field(default_factory=set)
    given: bool = False


class Bindings:
    """The names of a file, with what they are bound to in each function and at the top."""

    def __init__(self, tree: ast.Module, text: str) -> None:
        self._tree = tree
        self._lines = text.split("\n")
        self._parents: dict[ast.AST, ast.AST] = {}
        self._bound: dict[ast.AST, dict[str, list[ast.AST | Imported]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                self._parents[child] = node
        for node in ast.walk(tree):
            self._bind(node)

    def origins(self, expression: ast.expr) -> Origins:
        """Return where the value of an expression in the file may come from."""
        found = Origins()
        self._follow(expression, found, set())
        return found

    def function_of(self, node: ast.AST) -> int:
        """Return the line of the function that a node is in, 0 for none."""
        return getattr(self._scope(node), "lineno", 0)

    def packages_of(self, name: str) -> set[str]:
        """Return the packages from which anything of that name comes, wherever in the file."""
        found = Origins()
        for bound in self._bound.values():
            for each in bound.get(name, ()):
                self._take(each, found, set())
        return {each.package for each in found.imports}

    def first_parameter(self, node: ast.AST) -> str:
        """Return what the method around a node calls its own object, "" if there is none."""
        for each in self._around(node):
            if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
                names = [*each.args.posonlyargs, *each.args.args]
                if isinstance(self._parents.get(each), ast.ClassDef) and names:
                    return names[0].arg
        return ""

    def imports(self, *, guarded: bool) -> list[Imported]:
        """Return what the file imports; without `guarded` only what it cannot do without."""
        return [
            self._imported(node, alias)
            for node in ast.walk(self._tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            and (guarded or not self._is_guarded(node))
            for alias in node.names
            if alias.name != "*"
        ]

    def _is_guarded(self, node: ast.AST) -> bool:
        return any(
            isinstance(each, ast.Try)
            and any(
                handler.type is None
                or any(
                    isinstance(name, ast.Name) and name.id in _IMPORT_FAILS
                    for name in ast.walk(handler.type)
                )
                for handler in each.handlers
            )
            for each in self._around(node)
        )

    def _around(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self._parents:
            node = self._parents[node]
            yield node

    def _scopes(self, node: ast.AST) -> Iterator[ast.AST]:
        yield from (each for each in self._around(node) if isinstance(each, _FUNCTIONS))
        yield self._tree

    def _scope(self, node: ast.AST) -> ast.AST:
        return next(self._scopes(node))

    def _follow(self, expression: ast.AST, found: Origins, seen: set[ast.AST]) -> None:
        for node in ast.walk(expression):
            if not isinstance(node, ast.Name) or node in seen or len(seen) > _MAX_STEPS:
                continue
            seen.add(node)
            for scope in self._scopes(node):
                bound = self._bound[scope].get(node.id)
                if bound is None:
                    continue
                for each in bound:
                    self._take(each, found, seen)
                break

    def _take(self, bound: ast.AST | Imported, found: Origins, seen: set[ast.AST]) -> None:
        if isinstance(bound, Imported):
            found.imports.add(bound)
        elif isinstance(bound, ast.arg):
            found.given = True
            if bound.annotation is not None:
                self._follow(bound.annotation, found, seen)
        else:
            self._follow(bound, found, seen)

    def _bind(self, node: ast.AST) -> None:
        match node:
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    self._bound[self._scope(node)][name].append(self._imported(node, alias))
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                self._bind_function(node)
            case ast.ClassDef(name=name):
                self._bound[self._scope(node)][name].append(ast.Constant(None))
            case ast.ExceptHandler(name=str() as name, type=ast.expr() as kind):
                self._bound[self._scope(node)][name].append(kind)
            case _:
                for target, value in _assigned(node):
                    self._bind_target(target, value)

    def _bind_function(self, node: _Function) -> None:
        if not isinstance(node, ast.Lambda):
            for each in ast.walk(node):
                if isinstance(each, ast.Return) and each.value is not None:
                    self._bound[self._scope(node)][node.name].append(each.value)
            self._bound[self._scope(node)][node.name].append(ast.Constant(None))
        arguments = node.args
        for arg in (
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            *filter(None, (arguments.vararg, arguments.kwarg)),
        ):
            self._bound[node][arg.arg].append(arg)

    def _bind_target(self, target: ast.AST, value: ast.AST) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._bound[self._scope(node)][node.id].append(value)

    def _imported(self, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> Imported:
        """Return the last name of what is imported, or the first where that is what is bound."""
        line = self._lines[alias.lineno - 1]
        column = column_in(line, alias.col_offset)
        if isinstance(node, ast.ImportFrom):
            module = "" if node.level else node.module or ""
        else:
            module = alias.name
        if alias.asname is not None or isinstance(node, ast.ImportFrom):
            column += alias.name.rfind(".") + 1
        return Imported(alias.lineno, column, module.partition(".")[0])


def _assigned(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield what a node gives a value to, and what the value is made of."""
    match node:
        case ast.Assign():
            yield from ((target, node.value) for target in node.targets)
        case ast.AnnAssign():
            yield node.target, node.annotation
            if node.value is not None:
                yield node.target, node.value
        case ast.AugAssign() | ast.NamedExpr():
            yield node.target, node.value
        case ast.For() | ast.AsyncFor() | ast.comprehension():
            yield node.target, node.iter
        case ast.withitem(optional_vars=ast.expr() as target):
            yield target, node.context_expr
        case _:
            return
