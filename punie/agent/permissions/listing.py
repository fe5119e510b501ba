"""The rules of a project as a person reads them in a chat, and what revokes them there."""

import re
from collections.abc import Sequence

from punie.agent.permissions.rules import ExactCommand, Rule
from punie.agent.permissions.store import Permissions, PermissionsError, RuleBook
from punie.workspace.boundary import visible_name

_REVOKE = re.compile(r"revoke((?:\s+\d{1,6})+)", re.IGNORECASE)
_USAGE = "`/permissions` lists the rules and `/permissions revoke 2` takes the second one out."


def answer_permissions(permissions: Permissions, arguments: str) -> str:
    """Answer `/permissions` with what follows it, in Markdown. Blocks, so call it in a thread."""
    wanted = arguments.strip()
    revoke = _REVOKE.fullmatch(wanted)
    try:
        if revoke is not None:
            gone = permissions.revoke([int(number) for number in revoke[1].split()])
            return "\n".join(f"Revoked: {rule_line(rule)}." for rule in gone)
        if wanted:
            return _USAGE
        return _listed(permissions, permissions.read())
    except PermissionsError as error:
        text = str(error)
        return f"{text[:1].upper()}{text[1:]}"


def _listed(permissions: Permissions, book: RuleBook) -> str:
    parts = []
    if book.own:
        parts.append("Rules of this project, in the order of their numbers:")
        parts.append(_numbered(book.own))
    if book.of_project:
        parts.append("The project's own file forbids:")
        parts.append("\n".join(f"- {rule_line(rule)}" for rule in book.of_project))
    if not parts:
        parts.append("There are no rules for this project, so the mode alone decides.")
    parts.append(f"They are kept in `{visible_name(str(permissions.path))}`. {_USAGE}")
    return "\n\n".join(parts)


def _numbered(rules: Sequence[Rule]) -> str:
    return "\n".join(f"{number}. {rule_line(rule)}" for number, rule in enumerate(rules, start=1))


def rule_line(rule: Rule) -> str:
    """Return a rule in one line, as `always allow …` or `never allow …`."""
    adverb = "always" if rule.decision == "allow" else "never"
    exactly = "exactly " if isinstance(rule.target, ExactCommand) else ""
    return f"{adverb} allow {exactly}{visible_name(rule.about)}"
