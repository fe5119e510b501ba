"""The names that the top of a module binds, read with libcst. Slow to import."""

from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst
from libcst.helpers import get_full_name_for_node

from punie.tools.python.imported import Imported
from punie.tools.wording import one_line

_SHOWN_CHARS = 80


@dataclass(frozen=True)
class TopName:
    """A name, what it imports if it is an import, and its line of code."""

    name: str
    imported: Imported | None
    code: str


def top_names(module: cst.Module) -> list[TopName]:
    """Return the names that imports, definitions and assignments at the top bind."""
    found: list[TopName] = []
    for statement in module.body:
        if isinstance(statement, (cst.FunctionDef, cst.ClassDef)):
            kind = "class" if isinstance(statement, cst.ClassDef) else "def"
            name = statement.name.value
            found.append(TopName(name, None, f"{kind} {name}"))
        elif isinstance(statement, cst.SimpleStatementLine):
            for small in statement.body:
                code = one_line(module.code_for_node(small), _SHOWN_CHARS)
                found += [TopName(name, each, code) for name, each in _bound(small)]
    return found


def _bound(small: cst.BaseSmallStatement) -> Iterator[tuple[str, Imported | None]]:
    match small:
        case cst.Import():
            for alias in small.names:
                found = Imported(_name(alias.name), None, _alias(alias), 0)
                yield found.name, found
        case cst.ImportFrom(names=cst.ImportStar()):
            return
        case cst.ImportFrom(names=names) if not isinstance(names, cst.ImportStar):
            module = "" if small.module is None else _name(small.module)
            for alias in names:
                found = Imported(module, _name(alias.name), _alias(alias), len(small.relative))
                yield found.name, found
        case cst.Assign():
            for target in small.targets:
                if isinstance(target.target, cst.Name):
                    yield target.target.value, None
        case cst.AnnAssign(target=cst.Name(value=name)):
            yield name, None
        case _:
            return


def _name(node: cst.BaseExpression) -> str:
    return get_full_name_for_node(node) or ""


def _alias(alias: cst.ImportAlias) -> str | None:
    return None if alias.asname is None else _name(alias.asname.name)
