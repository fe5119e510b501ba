"""What the rules say of a call. Deny wins over allow, and whatever is unclear is not allowed."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, assert_never

from punie.agent.permissions.programs import reaches
from punie.agent.permissions.rules import (
    EDITS,
    AnyCall,
    CommandPattern,
    ExactArguments,
    ExactCommand,
    PathPattern,
    Rule,
    canonical_arguments,
)
from punie.agent.permissions.shell import CommandLine, SimpleCommand, Word, read_command_line
from punie.agent.permissions.wrappers import RUNNERS, program
from punie.tools.base import AnyTool, ToolArguments
from punie.tools.subjects import CommandSubject, FilesSubject
from punie.workspace.base import Workspace, WorkspaceError

# Files here are run by git or the IDE, or say what Punie may do: edits of them are always asked
# about where anything is asked, and a folder's rule does not reach them.
_GUARDED = frozenset({".git", ".idea", ".punie", ".vscode"})
_INERT = frozenset({"true", "false", ":"})
_TOKEN = re.compile(r"[\w./+@:-]+")

Says = Literal["no", "maybe", "yes"]


@dataclass(frozen=True)
class Unruled:
    """No rule speaks of the call. `guarded` tells of files that no mode for edits reaches."""

    guarded: bool = False


@dataclass(frozen=True)
class Unclear:
    """A rule forbids some commands, and it cannot be told whether this is one of them."""


@dataclass(frozen=True)
class Permitted:
    """Rules allow all that the call does."""


@dataclass(frozen=True)
class Forbidden:
    """This rule forbids it."""

    rule: Rule


Verdict = Unruled | Unclear | Permitted | Forbidden


@dataclass(frozen=True)
class CommandCall:
    """A call of a tool that runs a command line."""

    tool: str
    line: CommandLine


@dataclass(frozen=True)
class FilesCall:
    """A call of a tool that changes files; `names` are as in rules, None is outside."""

    tool: str
    names: tuple[str | None, ...]


@dataclass(frozen=True)
class OtherCall:
    """A call of any other tool, by its arguments."""

    tool: str
    arguments: str


Call = CommandCall | FilesCall | OtherCall


@dataclass(frozen=True)
class Place:
    """The workspace as rules see it. Edits below the `own` folders, Punie's, are guarded."""

    workspace: Workspace
    own: tuple[Path, ...] = field(default=())

    def name(self, path: str) -> str | None:
        """Return the name that rules use for a path, of the file it really is; None outside."""
        try:
            real = self.workspace.resolve(path)
        except WorkspaceError:
            return None
        root = self.workspace.roots[0]
        return (real.relative_to(root) if real.is_relative_to(root) else real).as_posix()

    def is_root(self, path: str) -> bool:
        """Tell whether a path is the folder that commands run in anyway."""
        root = os.path.realpath(self.workspace.roots[0])
        return os.path.realpath(os.path.join(root, path)) == root  # noqa: PTH118

    def guarded(self, name: str) -> bool:
        """Tell whether a file of this name is guarded."""
        if not _GUARDED.isdisjoint(part.casefold() for part in name.split("/")):
            return True
        real = Path(os.path.realpath(self.workspace.roots[0] / name))
        return any(real.is_relative_to(os.path.realpath(folder)) for folder in self.own)


def describe_call(tool: AnyTool, arguments: ToolArguments, place: Place) -> Call:
    """Return what rules need to know of a call."""
    subject = None if tool.subject is None else tool.subject(arguments)
    match subject:
        case CommandSubject():
            return CommandCall(tool.name, read_command_line(subject.line))
        case FilesSubject():
            return FilesCall(tool.name, tuple(place.name(path) for path in subject.paths))
        case None:
            return OtherCall(tool.name, canonical_arguments(arguments.model_dump(mode="json")))
        case _:
            assert_never(subject)


def judge(rules: Sequence[Rule], call: Call, place: Place) -> Verdict:
    """Return what the rules say of the call."""
    denies = [rule for rule in rules if rule.decision == "deny"]
    allows = [rule for rule in rules if rule.decision == "allow"]
    for rule in denies:
        if rule.tool == call.tool and isinstance(rule.target, AnyCall):
            return Forbidden(rule)
    match call:
        case CommandCall():
            return _judge_command(allows, denies, call, place)
        case FilesCall():
            return _judge_files(allows, denies, call, place)
        case OtherCall():
            return _judge_other(allows, denies, call)
        case _:
            assert_never(call)


def _judge_other(allows: list[Rule], denies: list[Rule], call: OtherCall) -> Verdict:
    exactly = ExactArguments(call.arguments)
    for rule in denies:
        if rule.tool == call.tool and rule.target == exactly:
            return Forbidden(rule)
    if any(rule.tool == call.tool and rule.target in (exactly, AnyCall()) for rule in allows):
        return Permitted()
    return Unruled()


def _judge_files(allows: list[Rule], denies: list[Rule], call: FilesCall, place: Place) -> Verdict:
    tools = (EDITS, call.tool)
    names = [name for name in call.names if name is not None]
    for rule in denies:
        if rule.tool not in tools:
            continue
        if isinstance(rule.target, AnyCall) or any(_concerns(name, rule) for name in names):
            return Forbidden(rule)
    if names and len(names) == len(call.names):
        own = [rule for rule in allows if rule.tool in tools]
        if all(_may_write(name, own, place) for name in names):
            return Permitted()
    return Unruled(guarded=any(place.guarded(name) for name in names))


def _is_below(name: str, rule: Rule) -> bool:
    """Tell whether a deny rule means this file; upper and lower case are one on many disks."""
    if not isinstance(rule.target, PathPattern):
        return False
    name, path = name.casefold(), rule.target.path.casefold()
    if rule.target.folder:
        return not path or name.startswith(f"{path}/")
    return name == path or name.startswith(f"{path}/")


def _concerns(name: str, rule: Rule) -> bool:
    """Tell whether a deny rule means this file, or something in it if it is a folder that moves."""
    if not isinstance(rule.target, PathPattern):
        return False
    inside = rule.target.path.casefold().startswith(f"{name.casefold()}/")
    return inside or _is_below(name, rule)


def _may_write(name: str, allows: Sequence[Rule], place: Place) -> bool:
    for rule in allows:
        if isinstance(rule.target, AnyCall):
            return True
        if not isinstance(rule.target, PathPattern):
            continue
        if not rule.target.folder and name == rule.target.path:
            return True
        below = not rule.target.path or name.startswith(f"{rule.target.path}/")
        if rule.target.folder and below and not name.startswith("/") and not place.guarded(name):
            return True
    return False


def _judge_command(
    allows: list[Rule], denies: list[Rule], call: CommandCall, place: Place
) -> Verdict:
    line = call.line
    targets = [place.name(word.text) if word.known else None for word in line.writes]
    own = [rule for rule in denies if rule.tool == call.tool]
    says: Says = "no"
    for rule in own:
        found = _denies(rule, line)
        if found == "yes":
            return Forbidden(rule)
        says = "maybe" if "maybe" in (says, found) else "no"
    edits = [rule for rule in denies if rule.tool == EDITS]
    for rule in edits:
        if any(name is not None and _is_below(name, rule) for name in targets):
            return Forbidden(rule)
        if line.writes and isinstance(rule.target, AnyCall):
            return Forbidden(rule)
    allowed = [rule for rule in allows if rule.tool == call.tool]
    if any(rule.target == ExactCommand(line.text) for rule in allowed):
        return Permitted()
    if says == "maybe" or (own and line.opaque):
        return Unclear()
    moved = any(_moves(command, place) for command in line.each())
    if line.opaque or not line.each() or (moved and line.writes):
        return Unruled()
    patterns = [rule.target for rule in allowed if isinstance(rule.target, CommandPattern)]
    if not all(covered(command, patterns, place, moved=moved) for command in line.commands):
        return Unruled()
    writes = [rule for rule in allows if rule.tool == EDITS]
    if all(name is not None and _may_write(name, writes, place) for name in targets):
        return Permitted()
    return Unruled()


def covered(
    command: SimpleCommand, patterns: Sequence[CommandPattern], place: Place, *, moved: bool
) -> bool:
    """Tell whether the patterns allow a command with all that it runs."""
    if _is_inert(command, place):
        return True
    reaching = [each for each in patterns if reaches(each, command, moved=moved)]
    inner = bool(command.inner) and all(
        covered(each, patterns, place, moved=moved) for each in command.inner
    )
    # A pattern for a wrapper speaks of what it runs only when it names that too.
    named = command.inner_at is not None and any(
        len(each.words) > command.inner_at for each in reaching
    )
    match command.need:
        case "itself":
            return bool(reaching)
        case "inner":
            return inner or named
        case "both":
            return bool(reaching) and inner
        case "named":
            return named
        case _:
            assert_never(command.need)


def moves(line: CommandLine, place: Place) -> bool:
    """Tell whether some of the line runs in another folder than the workspace's root."""
    return any(_moves(command, place) for command in line.each())


def _moves(command: SimpleCommand, place: Place) -> bool:
    return command.words[0].text in ("cd", "pushd", "popd") and not _is_inert(command, place)


def _is_inert(command: SimpleCommand, place: Place) -> bool:
    """Tell whether a command does nothing that anybody would want to be asked about."""
    if command.altered or command.open_ended:
        return False
    words = command.words
    if words[0].text == "cd" and len(words) == 2:
        return words[1].known and not words[1].option and place.is_root(words[1].text)
    return words[0].known and words[0].text in _INERT


def _denies(rule: Rule, line: CommandLine) -> Says:
    match rule.target:
        case ExactCommand():
            return "yes" if _is_same(rule.target.line, line) else "no"
        case CommandPattern():
            found = {_denies_command(rule.target, command) for command in line.each()}
            if "yes" in found or (line.opaque and _mentions(line.text, rule.target)):
                return "yes"
            return "maybe" if "maybe" in found else "no"
        case _:
            return "no"


def _is_same(text: str, line: CommandLine) -> bool:
    """Tell whether a line holds the forbidden one, however it is quoted and spaced."""
    if text.strip() == line.text.strip():
        return True
    forbidden = [command.words for command in _read(text).commands]
    there = [command.words for command in line.each()]
    return bool(forbidden) and any(
        there[at : at + len(forbidden)] == forbidden for at in range(len(there))
    )


@lru_cache(maxsize=256)
def _read(text: str) -> CommandLine:
    return read_command_line(text)


def _denies_command(pattern: CommandPattern, command: SimpleCommand) -> Says:
    says = _denies_words(pattern, command.words, open_ended=command.open_ended)
    if says != "yes" and program(command.words[0]) in RUNNERS:
        for start in range(1, len(command.words)):
            if _denies_words(pattern, command.words[start:], open_ended=False) == "yes":
                return "yes"
    return says


def _denies_words(pattern: CommandPattern, words: Sequence[Word], *, open_ended: bool) -> Says:
    """Compare as a person means it: `git -C . push` is `git push`, `/bin/RM` is `rm`."""
    if not words[0].known:
        return "maybe"
    wanted = pattern.words[0].rpartition("/")[2].casefold()
    if program(words[0]).casefold() != wanted:
        return "no"
    at = 1
    for text in pattern.words[1:]:
        found = False
        while at < len(words) and not found:
            word = words[at]
            if not word.known:
                return "maybe"
            found = word.text == text
            if not found and not (word.option or words[at - 1].option):
                return "no"
            at += 1
        if not found:
            return "maybe" if open_ended else "no"
    if pattern.more:
        return "yes"
    if any(word.known for word in words[at:]):
        return "no"
    return "maybe" if open_ended or at < len(words) else "yes"


def _mentions(text: str, pattern: CommandPattern) -> bool:
    """Tell whether a text that could not be read holds the words of a pattern, in their order."""
    tokens = iter(token.rpartition("/")[2].casefold() for token in _TOKEN.findall(text))
    return all(word.rpartition("/")[2].casefold() in tokens for word in pattern.words)
