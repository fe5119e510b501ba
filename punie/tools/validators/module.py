"""A Python module as validators see it: its syntax tree, its lines and what its names stand for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from punie.tools.python.concrete import parse_module

Node = TypeVar("Node", bound=cst.CSTNode)
Function = cst.FunctionDef


class _Index(cst.CSTVisitor):
    def __init__(self) -> None:
        self.parents: dict[cst.CSTNode, cst.CSTNode] = {}
        self.by_type: dict[type[cst.CSTNode], list[cst.CSTNode]] = {}
        self._open: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.BaseParenthesizableWhitespace | cst.TrailingWhitespace):
            return False
        if self._open:
            self.parents[node] = self._open[-1]
        self.by_type.setdefault(type(node), []).append(node)
        self._open.append(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if self._open and self._open[-1] is original_node:
            self._open.pop()


@dataclass
class Module:
    """One module. `path` is as the workspace shows it, `name` dotted, `package` its package.

    Making the tree is slow, so it is made when first asked for; `NotPythonError` then says why
    it cannot be made.
    """

    path: str
    name: str
    package: str
    text: str
    _positions: dict[cst.CSTNode, int] | None = field(default=None, repr=False)

    @cached_property
    def tree(self) -> cst.Module:
        """The syntax tree."""
        return parse_module(self.text)

    @cached_property
    def _index(self) -> _Index:
        index = _Index()
        self.tree.visit(index)
        return index

    def nodes(self, kind: type[Node]) -> Sequence[Node]:
        """Return all nodes of exactly this type, in order."""
        return self._index.by_type.get(kind, [])  # type: ignore[return-value]

    def ancestors(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """Return what the node is in, from the inside out."""
        parents = self._index.parents
        while node in parents:
            node = parents[node]
            yield node

    def line(self, node: cst.CSTNode) -> int:
        """Return the 1-based line on which a node begins."""
        if self._positions is None:
            wrapper = MetadataWrapper(self.tree, unsafe_skip_copy=True)
            positions = wrapper.resolve(PositionProvider)
            self._positions = {node: place.start.line for node, place in positions.items()}
        named = node.name if isinstance(node, cst.ClassDef | cst.FunctionDef) else node
        return self._positions.get(named) or self._positions.get(node, 1)

    def function_of(self, node: cst.CSTNode) -> Function | cst.Lambda | None:
        """Return the innermost function whose body the node is in."""
        inner = node
        for outer in self.ancestors(node):
            if isinstance(outer, Function) and inner is outer.body:
                return outer
            if isinstance(outer, cst.Lambda) and inner is outer.body:
                return outer
            inner = outer
        return None

    def class_of(self, node: cst.CSTNode) -> cst.ClassDef | None:
        """Return the class that the node is directly in the body of, functions in between not."""
        for outer in self.ancestors(node):
            if isinstance(outer, cst.ClassDef):
                return outer
            if isinstance(outer, Function):
                return None
        return None

    @cached_property
    def imports(self) -> dict[str, str]:
        """What imported names stand for, anywhere in the module."""
        found: dict[str, str] = {}
        for node in self.nodes(cst.Import):
            for alias in node.names:
                target = dotted(alias.name)
                local = dotted(alias.asname.name) if alias.asname else target.split(".")[0]
                found[local] = target if alias.asname else local
        for imported in self.nodes(cst.ImportFrom):
            source = self._source(imported)
            if isinstance(imported.names, cst.ImportStar):
                continue
            for alias in imported.names:
                name = dotted(alias.name)
                found[dotted(alias.asname.name) if alias.asname else name] = f"{source}.{name}"
        return found

    def _source(self, node: cst.ImportFrom) -> str:
        module = dotted(node.module) if node.module else ""
        if not node.relative:
            return module
        parts = self.package.split(".") if self.package else []
        base = parts[: len(parts) - len(node.relative) + 1]
        return ".".join([*base, module] if module else base)

    @cached_property
    def imported_roots(self) -> frozenset[str]:
        """The top-level packages that the module imports from."""
        return frozenset(target.split(".")[0] for target in self.imports.values())

    @cached_property
    def bindings(self) -> dict[str, list[cst.CSTNode]]:
        """Functions, classes and assignments at the module's top level, by name."""
        found: dict[str, list[cst.CSTNode]] = {}
        for statement in _flat(self.tree.body):
            if isinstance(statement, Function | cst.ClassDef):
                found.setdefault(statement.name.value, []).append(statement)
            elif isinstance(statement, cst.Assign):
                for target in statement.targets:
                    if isinstance(target.target, cst.Name):
                        found.setdefault(target.target.value, []).append(statement)
            elif isinstance(statement, cst.AnnAssign) and isinstance(statement.target, cst.Name):
                found.setdefault(statement.target.value, []).append(statement)
        return found

    @cached_property
    def rebound(self) -> frozenset[str]:
        """Names that some function binds anew: parameters, assignments, loop variables."""
        names = {parameter.name.value for parameter in self.nodes(cst.Param)}
        for target in self.nodes(cst.AssignTarget):
            if isinstance(target.target, cst.Name):
                names.add(target.target.value)
        for loop in self.nodes(cst.For):
            if isinstance(loop.target, cst.Name):
                names.add(loop.target.value)
        return frozenset(names)

    def qualified(self, node: cst.CSTNode | None) -> str:
        """Return the full dotted name that an expression stands for, or "" if nobody knows.

        Imported names become what was imported, names defined here get the module's name.
        """
        name = dotted(node) if node is not None else ""
        if not name:
            return ""
        first, _, rest = name.partition(".")
        if first in self.bindings:
            first = f"{self.name}.{first}"
        elif first in self.imports:
            first = self.imports[first]
        return f"{first}.{rest}" if rest else first

    def decorators(self, node: cst.ClassDef | Function) -> dict[str, cst.Call | None]:
        """Return the decorators by full name, with the call where there is one."""
        found: dict[str, cst.Call | None] = {}
        for decorator in node.decorators:
            value = decorator.decorator
            call = value if isinstance(value, cst.Call) else None
            found[self.qualified(call.func if call else value)] = call
        return found

    def bases(self, node: cst.ClassDef) -> list[str]:
        """Return the full names of a class's bases, without their parameters."""
        return [
            self.qualified(
                base.value.value if isinstance(base.value, cst.Subscript) else base.value
            )
            for base in node.bases
        ]


def _flat(body: Sequence[cst.CSTNode]) -> Iterator[cst.CSTNode]:
    """Return the statements of a body, those under `if` and `try` included."""
    for statement in body:
        if isinstance(statement, cst.SimpleStatementLine):
            yield from statement.body
        elif isinstance(statement, cst.If | cst.Else | cst.Try | cst.ExceptHandler | cst.Finally):
            yield from _flat(statement.body.body)
            further = [getattr(statement, name, None) for name in ("orelse", "finalbody")]
            yield from _flat([node for node in further if node is not None])
            yield from _flat(list(getattr(statement, "handlers", ())))
        else:
            yield statement


def dotted(node: cst.CSTNode) -> str:
    """Return `a.b.c` for a name or a chain of attributes, "" for anything else."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr.value}" if before else ""
    return ""


def statements(node: cst.ClassDef | Function) -> Iterator[cst.CSTNode]:
    """Return the statements directly in a body, those under `if` and `try` included."""
    return _flat(node.body.body)


def methods(node: cst.ClassDef) -> dict[str, Function]:
    """Return the functions defined in a class's body, by name."""
    return {item.name.value: item for item in statements(node) if isinstance(item, Function)}


def positional(function: Function | cst.Lambda) -> list[cst.Param]:
    """Return the parameters that may be given by position."""
    return [*function.params.posonly_params, *function.params.params]


def text_value(node: cst.CSTNode | None) -> str | None:
    """Return the value of a string literal, None for anything else."""
    if not isinstance(node, cst.SimpleString | cst.ConcatenatedString):
        return None
    value = node.evaluated_value
    return value if isinstance(value, str) else None


def argument(call: cst.Call, position: int, name: str) -> cst.BaseExpression | None:
    """Return an argument of a call by position or name; None with `*` or `**` before it."""
    for number, given in enumerate(call.args):
        if given.star:
            return None
        if given.keyword is not None:
            if given.keyword.value == name:
                return given.value
        elif number == position:
            return given.value
    return None


def is_stub(function: Function) -> bool:
    """Tell whether a function's body says nothing: `...`, `pass`, a docstring or a raise."""
    for statement in statements(function):
        if isinstance(statement, cst.Pass | cst.Raise):
            continue
        if isinstance(statement, cst.Expr) and isinstance(
            statement.value, cst.Ellipsis | cst.SimpleString | cst.ConcatenatedString
        ):
            continue
        return False
    return True
