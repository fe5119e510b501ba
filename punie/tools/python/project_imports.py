"""What a project imports of other people's, and which of that has a member of some name."""

import importlib.util
import pkgutil
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from punie.tools.base import ToolError
from punie.tools.python.bindings import Bindings
from punie.tools.python.namings import has_member, parsed
from punie.tools.python.occurrences import files_with
from punie.tools.python.rename_state import Search, in_project
from punie.workspace.base import TextFile
from punie.workspace.lsp.model import Point

EVERYWHERE = {"builtins", "types", "typing", "io", "_io"}
"""Modules whose objects are met under any name."""

_GIVEN = {"pytest", "_pytest"}
"""Packages whose objects come without an import, under names of their own."""

_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<module>\w[\w.]*)[ \t]+import\b|import[ \t]+(?P<list>[^#\n;\\]+))",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Imports:
    """What each file imports, and where the modules of other people's are, by dotted names."""

    files: dict[Path, tuple[TextFile, set[str]]]
    modules: dict[str, Path]

    def gives(self, packages: set[str], receiver: str) -> bool:
        """Tell whether any file has something of these packages under a receiver's first name."""
        name = re.split(r"\W", receiver, maxsplit=1)[0]
        for file, names in self.files.values():
            if name not in file.text or not packages & set(map(_top, names)):
                continue
            tree = parsed(file.text)
            if tree is None or packages & Bindings(tree, file.text).packages_of(name):
                return True
        return False


def _top(name: str) -> str:
    return name.partition(".")[0]


async def project_imports(search: Search) -> Imports | None:
    """Return what the project imports, None if it has too many files to look at."""
    files: dict[Path, tuple[TextFile, set[str]]] = {}
    try:
        found = await files_with(search.context, "import", search.context.workspace.roots)
    except ToolError:
        return None
    for file in found:
        if not in_project(search, file.path):
            continue
        _, names = files.setdefault(file.path, (file, set()))
        for match in _IMPORT.finditer(file.text):
            names.update([match["module"]] if match["module"] else _listed(match["list"]))
    named = {*EVERYWHERE, *_GIVEN, *(name for _, names in files.values() for name in names)}
    ordered = sorted({*named, *(below for name in named for below in _submodules(name))})
    probe = next(iter(search.files))
    lines = [f"import {name}" for name in ordered]
    points = [
        Point(probe, number, len(line) - len(line.rpartition(".")[2].split()[-1]))
        for number, line in enumerate(lines, start=1)
    ]
    answers = await search.server.definitions(points, {probe: "\n".join([*lines, ""])})
    modules = {
        name: places[0].path
        for name, places in zip(ordered, answers, strict=True)
        if places and not in_project(search, places[0].path)
    }
    return Imports(files, modules)


async def rivals(search: Search, imports: Imports) -> set[str] | None:
    """Return the packages outside of the project with a member of the name; None if unknown."""
    old = search.old
    texts = await search.server.other_code(list(imports.modules.values()), old)
    if texts is None:
        return None

    def holding() -> set[Path]:
        # Modules of one package share their texts.
        known: dict[str, bool] = {}
        return {
            path
            for path, listed in texts.items()
            if any(
                known[text] if text in known else known.setdefault(text, has_member(text, old))
                for text in listed
            )
        }

    found = await anyio.to_thread.run_sync(holding)
    return {_top(name) for name, path in imports.modules.items() if path in found}


def _submodules(name: str) -> list[str]:
    """Return what a package of the standard library is made of, which it gives on as its own."""
    if "." in name or name not in sys.stdlib_module_names:
        return []
    # That of a package at the top is found without running anything.
    spec = importlib.util.find_spec(name)
    folders = spec.submodule_search_locations if spec else None
    return [f"{name}.{each.name}" for each in pkgutil.iter_modules(folders)] if folders else []


def _listed(text: str) -> list[str]:
    names = [each.split()[0] for each in text.split(",") if each.strip()]
    return [name for name in names if re.fullmatch(r"\w+(\.\w+)*", name)]
