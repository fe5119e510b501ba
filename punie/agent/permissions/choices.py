"""The answers offered to a permission question, each with the rules that it stores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from punie.agent.events import PermissionChoice
from punie.agent.permissions.judging import (
    Call,
    CommandCall,
    FilesCall,
    OtherCall,
    Permitted,
    Place,
    ReadCall,
    covered,
    judge,
    moves,
)
from punie.agent.permissions.programs import pattern_for
from punie.agent.permissions.rules import (
    COMMANDS,
    EDITS,
    OUTSIDE,
    READS,
    AnyCall,
    CommandPattern,
    ExactArguments,
    ExactCommand,
    PathPattern,
    Rule,
    RuleError,
    Target,
    name_target,
)
from punie.agent.permissions.shell import SimpleCommand
from punie.workspace.boundary import visible_name

ALLOW_ONCE = "allow_once"
ALLOW_ALWAYS = "allow_always"
"""Always exactly this call, or edits of exactly this file."""
ALLOW_PATTERN = "allow_always_pattern"
"""Always what the choice's name says: a command pattern, a folder, or the whole tool."""
REJECT_ONCE = "reject_once"
REJECT_ALWAYS = "reject_always"

LONGEST_NAME = 80
"""Characters; an IDE shows the names on buttons."""


@dataclass(frozen=True)
class Offer:
    """One answer, whether it lets the call run, and the rules that it stores."""

    choice: PermissionChoice
    allowed: bool
    rules: tuple[Rule, ...] = ()


ONCE = (
    Offer(PermissionChoice(id=ALLOW_ONCE, name="Allow", kind="allow_once"), allowed=True),
    Offer(PermissionChoice(id=REJECT_ONCE, name="Deny", kind="reject_once"), allowed=False),
)
"""What is offered where nothing can be remembered."""


def offers(call: Call, rules: Sequence[Rule], place: Place) -> tuple[Offer, ...]:
    """Return the answers for a call that must be asked about."""
    allow, deny = ONCE
    exactly, pattern = _exactly(call), _pattern(call, rules, place)
    never = _never(call, pattern)
    rule_tool = _rule_tool(call)
    outside = isinstance(call, CommandCall) and call.unsandboxed
    found = [allow]
    if exactly is not None:
        name = f"Always allow {_named(rule_tool, exactly, exact=True)}"
        found.append(_allowing(ALLOW_ALWAYS, name, rule_tool, (exactly,), outside=outside))
    # Whoever wants a pattern to leave the sandbox writes it into the file.
    if pattern and not outside:
        names = ", ".join(_named(rule_tool, each) for each in pattern)
        name = f"Always allow {names} in this project"
        # What does not fit would be stored unseen, so it is not offered.
        if len(name) <= LONGEST_NAME:
            found.append(_allowing(ALLOW_PATTERN, name, rule_tool, pattern))
    found.append(deny)
    if never is not None:
        rule = Rule("deny", rule_tool, never)
        name = cut_middle(f"Never allow {_named(rule_tool, never)}")
        choice = PermissionChoice(id=REJECT_ALWAYS, name=name, kind="reject_always")
        found.append(Offer(choice, allowed=False, rules=(rule,)))
    return tuple(found)


def _allowing(
    choice_id: str, name: str, tool: str, targets: Sequence[Target], *, outside: bool = False
) -> Offer:
    rules = tuple(Rule("allow", tool, target, outside) for target in targets)
    # What is said of the sandbox is never cut off.
    room = LONGEST_NAME - len(OUTSIDE) if outside else LONGEST_NAME
    name = cut_middle(name, room) + (OUTSIDE if outside else "")
    choice = PermissionChoice(id=choice_id, name=name, kind="allow_always")
    return Offer(choice, allowed=True, rules=rules)


def _rule_tool(call: Call) -> str:
    """Return what a rule for such calls names as their tool."""
    match call:
        case FilesCall():
            return EDITS
        case ReadCall():
            return READS
        case CommandCall():
            return COMMANDS
        case OtherCall():
            return call.tool
        case _:
            assert_never(call)


def _named(tool: str, target: Target, *, exact: bool = False) -> str:
    if isinstance(target, ExactArguments):
        return f"`{tool}` with exactly these arguments"
    name = visible_name(name_target(tool, target))
    return f"exactly {name}" if exact and isinstance(target, ExactCommand) else name


def cut_middle(text: str, room: int = LONGEST_NAME) -> str:
    """Return the text, with `…` in the middle where it is too long for a button."""
    if len(text) <= room:
        return text
    half = (room - 1) // 2
    return f"{text[: room - 1 - half]}…{text[-half:]}"


def _exactly(call: Call) -> Target | None:
    match call:
        case CommandCall():
            return ExactCommand(call.line.text)
        case FilesCall() | ReadCall():
            return _file(call)
        case OtherCall():
            return ExactArguments(call.arguments)
        case _:
            assert_never(call)


def _file(call: FilesCall | ReadCall) -> PathPattern | None:
    """Return the one file of the call, for a rule.

    There is none for a name that would read as a pattern, and none for the whole project, which a
    rule would name as if it were a file.
    """
    name = call.names[0] if len(call.names) == 1 else None
    if name is None or name == "." or "*" in name or "?" in name:
        return None
    return PathPattern(name)


def _pattern(call: Call, rules: Sequence[Rule], place: Place) -> tuple[Target, ...]:
    """Return what is wider than this call and would allow it; nothing where that is too wide."""
    targets: tuple[Target, ...]
    match call:
        case CommandCall():
            targets = _command_patterns(call, rules, place)
            if " && ".join(map(str, targets)) == call.line.text:
                return ()  # It says the same as the exact call.
        case FilesCall():
            file = _file(call)
            folder = "" if file is None else file.path.rpartition("/")[0]
            targets = (PathPattern(folder, folder=True),) if folder else ()
        case ReadCall():
            return ()
        case OtherCall():
            targets = (AnyCall(),)
        case _:
            assert_never(call)
    try:
        added = [Rule("allow", _rule_tool(call), target) for target in targets]
    except RuleError:
        return ()
    allowed = isinstance(judge([*rules, *added], call, place), Permitted)
    return targets if added and allowed else ()


def _command_patterns(
    call: CommandCall, rules: Sequence[Rule], place: Place
) -> tuple[CommandPattern, ...]:
    moved = moves(call.line, place)
    known = [
        rule.target
        for rule in rules
        if rule.decision == "allow"
        and rule.tool == COMMANDS
        and isinstance(rule.target, CommandPattern)
    ]
    found: dict[CommandPattern, None] = {}

    def add(command: SimpleCommand) -> bool:
        if covered(command, known, place, moved=moved):
            return True
        if command.need in ("inner", "both") and not all(map(add, command.inner)):
            return False
        if command.need == "inner":
            return True
        alone = replace(command, inner=(), need="itself")
        if covered(alone, [*known, *found], place, moved=moved):
            return True
        folder = command.words[1] if len(command.words) == 2 else None
        inside = folder is not None and folder.known and place.name(folder.text) is not None
        pattern = None if command.need == "named" else pattern_for(command, inside=inside)
        if pattern is not None:
            found[pattern] = None
        return pattern is not None

    return tuple(found) if all(map(add, call.line.commands)) else ()


def _never(call: Call, pattern: Sequence[Target]) -> Target | None:
    """Return what "never" forbids: as wide as what is offered to be allowed, for one command."""
    match call:
        case CommandCall():
            alone = len(call.line.commands) == 1 and len(pattern) == 1
            return pattern[0] if alone else ExactCommand(call.line.text)
        case FilesCall() | ReadCall():
            return _file(call)
        case OtherCall():
            return AnyCall()
        case _:
            assert_never(call)
