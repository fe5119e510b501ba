"""The modules of a project, so that a validator can follow names from file to file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import libcst as cst

from punie.tools.validators.module import Function, Module

_MAX_STEPS = 8


@dataclass(frozen=True)
class Definition:
    """A class or function and the module that it stands in."""

    module: Module
    node: cst.ClassDef | Function

    @property
    def name(self) -> str:
        """The full dotted name."""
        return f"{self.module.name}.{self.node.name.value}"


@dataclass
class Project:
    """All modules by name. What they hold is not to be changed."""

    modules: Mapping[str, Module]
    _broken: set[str] = field(default_factory=set)

    def module(self, name: str) -> Module | None:
        """Return a module of the project that can be parsed."""
        module = self.modules.get(name)
        if module is None or name in self._broken:
            return None
        try:
            _ = module.tree
        except Exception:
            self._broken.add(name)
            return None
        return module

    def find(self, name: str) -> Definition | None:
        """Return what a full dotted name stands for, through imports; None if it is not here."""
        for _ in range(_MAX_STEPS):
            before, _, last = name.rpartition(".")
            module = self.module(before)
            if module is None:
                return None
            bound = module.bindings.get(last, [])
            if len(bound) == 1 and isinstance(bound[0], cst.ClassDef | Function):
                return Definition(module, bound[0])
            if bound or last not in module.imports:
                return None
            name = module.imports[last]
        return None

    def find_class(self, name: str) -> Definition | None:
        """Return the class of that name, or None."""
        found = self.find(name)
        return found if found and isinstance(found.node, cst.ClassDef) else None

    def mentioning(self, words: Iterable[str]) -> Iterator[Module]:
        """Return the modules whose text holds one of the words, in order of their names."""
        wanted = tuple(words)
        for name in sorted(self.modules):
            if any(word in self.modules[name].text for word in wanted):
                module = self.module(name)
                if module is not None:
                    yield module

    @cached_property
    def subclassed(self) -> frozenset[str]:
        """The last parts of the names of all classes that have subclasses here."""
        names: set[str] = set()
        for module in self.mentioning(["class "]):
            for node in module.nodes(cst.ClassDef):
                names.update(base.rsplit(".", 1)[-1] for base in module.bases(node))
        return frozenset(names)
