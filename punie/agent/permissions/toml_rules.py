"""Rules as TOML: how they are read, with the line of every fault, and how they are written."""

import json
import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from punie.agent.permissions.rules import (
    COMMANDS,
    EDITS,
    AnyCall,
    CommandPattern,
    ExactArguments,
    ExactCommand,
    PathPattern,
    Rule,
    RuleError,
    Target,
    canonical_arguments,
    parse_command_pattern,
    parse_path_pattern,
)
from punie.workspace.boundary import visible_name

if TYPE_CHECKING:
    import tomlkit

_HEADER = """\
# What Punie may do without asking, and never, in {project}
#
# One [[rules]] for each. Deny wins over allow. Change this file as you like; it counts at once,
# and your comments stay. `punie permissions` lists, revokes and adds rules. A rule holds
# `decision`, which is "allow" or "deny", and one of
#   command = "pytest *"       a command and whatever follows; without " *" exactly these words
#   line = "make && ./check"   exactly this command line
#   path = "src/**"            edits in a folder, or of one file; with tool = "read" reading
#   any = true                 every call of the tool named by `tool`
#   arguments = '{{"a": 1}}'     calls of the tool named by `tool` with exactly these arguments
# A command is allowed in the sandbox; with `unsandboxed = true` it is outside as well.

"""
_TARGETS = ("command", "line", "path", "any", "arguments")
_KEYS = ("decision", "tool", "unsandboxed", *_TARGETS)
_RULE_LINE = re.compile(r"\s*\[\[\s*(?:rules|\"rules\"|'rules')\s*\]\]")
_AT_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")


def header(project: Path) -> str:
    """Return the first lines of a new file."""
    return _HEADER.format(project=visible_name(str(project)))


def parse_rules(text: str, *, deny_only: bool = False) -> tuple[Rule, ...]:
    """Read the rules of a file; raise `RuleError` with the line and the fault."""
    import tomllib

    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = _AT_LINE.search(message)
        line = int(found[1]) if found and found[1] else text.count("\n") + 1
        fault = _AT_LINE.sub("", message)
        raise RuleError(f"line {line}: {fault[:1].lower()}{fault[1:]}.") from None
    except (RecursionError, ValueError):
        raise RuleError("line 1: this cannot be read.") from None
    for key in content:
        if key != "rules":
            line = _line_of(text, key)
            raise RuleError(f"line {line}: {key!r} is not known; there are only [[rules]].")
    tables = content.get("rules", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RuleError(f"line {_line_of(text, 'rules')}: rules are written as [[rules]].")
    return tuple(
        _parse_rule(table, number, text, deny_only=deny_only) for number, table in enumerate(tables)
    )


def _parse_rule(table: Mapping[str, Any], number: int, text: str, *, deny_only: bool) -> Rule:
    begin = _rule_line(text, number)

    def fault(sentence: str, key: str | None = None) -> RuleError:
        line = begin if key is None else _line_of(text, key, begin - 1)
        return RuleError(f"line {line}: {sentence}.")

    for key in table:
        if key not in _KEYS:
            raise fault(f"{key!r} is not known; a rule has {', '.join(_KEYS)}", key)
    decision = table.get("decision")
    if decision not in ("allow", "deny"):
        raise fault('decision must be "allow" or "deny"', "decision")
    if deny_only and decision == "allow":
        raise fault("a project's own file may only deny", "decision")
    given = [key for key in _TARGETS if key in table]
    if len(given) != 1:
        raise fault(f"a rule needs exactly one of {', '.join(_TARGETS)}")
    key = given[0]
    usual = {"command": COMMANDS, "line": COMMANDS, "path": EDITS}.get(key)
    tool = table.get("tool", usual)
    if not isinstance(tool, str) or not tool:
        raise fault(f"{key} needs the name of a tool in `tool`", key)
    if not isinstance(table.get("unsandboxed", True), bool):
        raise fault("unsandboxed must be true or false", "unsandboxed")
    try:
        unsandboxed = table.get("unsandboxed", False)
        return Rule(decision, tool, _parse_target(key, table[key]), unsandboxed)
    except RuleError as error:
        raise fault(str(error), key) from None


def _parse_target(key: str, value: Any) -> Target:
    if key == "any":
        if value is not True:
            raise RuleError("any can only be true")
        return AnyCall()
    if not isinstance(value, str) or not value.strip():
        raise RuleError(f"{key} must be text in quotes")
    match key:
        case "command":
            return parse_command_pattern(value)
        case "line":
            return ExactCommand(value)
        case "path":
            return parse_path_pattern(value)
        case _:
            return parse_arguments(value)


def parse_arguments(text: str) -> ExactArguments:
    """Read a tool's arguments from JSON; raise `RuleError`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RuleError('arguments must be a JSON object such as {"path": "a.py"}')
    return ExactArguments(canonical_arguments(value))


def _rule_line(text: str, number: int) -> int:
    """Return the 1-based line at which rule `number` (from 0) begins."""
    lines = [at for at, line in enumerate(text.split("\n"), start=1) if _RULE_LINE.match(line)]
    return lines[number] if number < len(lines) else _line_of(text, "rules")


def _line_of(text: str, key: str, start: int | None = None) -> int:
    """Return the 1-based line of `key`, in the rule that begins at index `start` or anywhere.

    Without one it is the rule's first line.
    """
    pattern = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}\b")
    lines = text.split("\n")
    for at in range(start or 0, len(lines)):
        if start is not None and at > start and _RULE_LINE.match(lines[at]):
            break
        if pattern.match(lines[at]):
            return at + 1
    return (start or 0) + 1


def rule_table(rule: Rule) -> dict[str, Any]:
    """Return a rule as its table in the file."""
    table: dict[str, Any] = {"decision": rule.decision}
    if rule.unsandboxed:
        table["unsandboxed"] = True
    target = rule.target
    match target:
        case CommandPattern():
            usual, key, value = COMMANDS, "command", str(target)
        case ExactCommand():
            usual, key, value = COMMANDS, "line", target.line
        case PathPattern():
            usual, key, value = EDITS, "path", str(target)
        case ExactArguments():
            usual, key, value = "", "arguments", target.text
        case AnyCall():
            return {**table, "tool": rule.tool, "any": True}
        case _:
            assert_never(target)
    if rule.tool != usual:
        table["tool"] = rule.tool
    return {**table, key: value}


def with_rules_removed(document: "tomlkit.TOMLDocument", gone: Set[int]) -> None:
    """Take rules out of a document, keeping the comments that stand before the rule behind them."""
    import tomlkit

    rules: Any = document.get("rules")
    for number in sorted(gone, reverse=True):
        behind = _comments_behind(rules[number]) if isinstance(rules, tomlkit.items.AoT) else []
        del rules[number]
        if not rules:
            document.remove("rules")
            document.body.extend(behind)
        elif number > 0:
            rules[number - 1].value.body.extend(behind)
        else:
            # Only written out after this, so the document need not find its keys again.
            at = next(at for at, (key, _) in enumerate(document.body) if key is not None)
            document.body[at:at] = behind


def _comments_behind(table: Any) -> list[Any]:
    body = table.value.body
    last = max(at for at, (key, _) in enumerate(body) if key is not None)
    comments: list[Any] = body[last + 1 :]
    return comments
