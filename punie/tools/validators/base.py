"""What a validator is: rules, and a check of one module that may look at the others.

Third parties add validators through the entry points group `punie.validators`; each entry point is
a `Validator`. See docs/validators.md.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import libcst

    from punie.tools.validators.module import Module
    from punie.tools.validators.project import Project

ENTRY_POINTS = "punie.validators"

Severity = Literal["error", "warning"]
"""An error fails or does nothing when it runs; a warning is a likely mistake."""


@dataclass(frozen=True)
class Issue:
    """What a rule found; `line` is 1-based, `suggestion` says what to do instead."""

    rule: str
    severity: Severity
    line: int
    message: str
    suggestion: str


@dataclass(frozen=True)
class Rule:
    """One thing to check; `meaning` and `suggestion` are one sentence without a full stop."""

    name: str
    severity: Severity
    meaning: str
    suggestion: str

    def at(self, module: "Module", node: "libcst.CSTNode", message: str) -> Issue:
        """Return an issue of this rule at a node of the module."""
        return Issue(self.name, self.severity, module.line(node), message, self.suggestion)


Check = Callable[["Module", "Project"], Iterable[Issue]]


@dataclass(frozen=True)
class Validator:
    """A family of rules. `check` gets every module in turn and changes nothing."""

    name: str
    title: str
    rules: tuple[Rule, ...]
    check: Check
