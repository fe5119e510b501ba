"""What the rules say of a call. Deny wins over allow, and whatever is unclear is not allowed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import assert_never

from punie.agent.permissions.forbidding import Says, denies_line
from punie.agent.permissions.named_files import named_words, secret_files_named
from punie.agent.permissions.path_rules import concerns, hides, is_below, may_read, texts_in
from punie.agent.permissions.programs import reaches
from punie.agent.permissions.rules import (
    COMMANDS,
    EDITS,
    READS,
    AnyCall,
    CommandPattern,
    ExactArguments,
    ExactCommand,
    PathPattern,
    Rule,
    canonical_arguments,
)
from punie.agent.permissions.shell import CommandLine, SimpleCommand, read_command_line
from punie.tools.base import AnyTool, ToolArguments
from punie.tools.subjects import CommandSubject, FilesSubject, ReadSubject
from punie.workspace.base import Workspace, WorkspaceError
from punie.workspace.secret_files import is_secret_path

# Files here are run by git or the IDE, or say what Punie may do: edits of them are always asked
# about where anything is asked, and a folder's rule does not reach them.
_GUARDED = frozenset({".git", ".idea", ".punie", ".vscode"})
_INERT = frozenset({"true", "false", ":"})


@dataclass(frozen=True)
class Unruled:
    """No rule speaks of the call.

    `guarded` tells of files that no mode for edits reaches, `secret` of files that are likely to
    hold secrets and are asked about in every mode.
    """

    guarded: bool = False
    secret: bool = False


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
    """A call of a tool that runs a command line; `unsandboxed` if it is to leave the sandbox."""

    tool: str
    line: CommandLine
    unsandboxed: bool = False


@dataclass(frozen=True)
class FilesCall:
    """A call of a tool that changes files; `names` are as in rules, None is outside.

    `secrets` are those of the names that are likely to hold secrets.
    """

    tool: str
    names: tuple[str | None, ...]
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ReadCall:
    """A call of a tool that shows what is in files, or in all files of a folder."""

    tool: str
    names: tuple[str | None, ...]
    secrets: frozenset[str] = frozenset()
    arguments: str = ""


@dataclass(frozen=True)
class OtherCall:
    """A call of any other tool, by its arguments; `secret` if they name a secret file."""

    tool: str
    arguments: str
    secret: bool = False


Call = CommandCall | FilesCall | ReadCall | OtherCall


@dataclass(frozen=True)
class Place:
    """The workspace as rules see it. Edits below the `own` folders, Punie's, are guarded.

    `confined` tells that commands run in a sandbox unless a call says otherwise. `located` is where
    each path that was asked about led, None outside: what is judged once stays so.
    """

    workspace: Workspace
    own: tuple[Path, ...] = field(default=())
    confined: bool = False
    located: dict[str, Path | None] = field(default_factory=dict, compare=False)

    def name(self, path: str) -> str | None:
        """Return the name that rules use for a path, of the file it really is; None outside."""
        if path not in self.located:
            try:
                self.located[path] = self.workspace.resolve(path)
            except WorkspaceError:
                self.located[path] = None
        real = self.located[path]
        if real is None:
            return None
        root = self.workspace.roots[0]
        return (real.relative_to(root) if real.is_relative_to(root) else real).as_posix()

    def secrets(self, paths: Sequence[str]) -> frozenset[str]:
        """Return the names of those files that are likely to hold secrets.

        What a path is called counts, and what the file that it leads to is called.
        """
        found = set()
        for path in paths:
            name = self.name(path)
            if name is not None and (is_secret_path(path) or is_secret_path(name)):
                found.add(name)
        return frozenset(found)

    def is_there(self, path: str) -> bool:
        """Tell whether a text is the path of something in the workspace."""
        name = self.name(path)
        return name is not None and os.path.lexists(self.workspace.roots[0] / name)

    def is_root(self, path: str) -> bool:
        """Tell whether a path is the folder that commands run in anyway."""
        root = os.path.realpath(self.workspace.roots[0])
        return os.path.realpath(os.path.join(root, path)) == root  # noqa: PTH118

    def guarded(self, name: str) -> bool:
        """Tell whether a file of this name is guarded."""
        if not _GUARDED.isdisjoint(part.casefold() for part in name.split("/")):
            return True
        try:
            real = Path(os.path.realpath(self.workspace.roots[0] / name))
        except OSError:
            return True  # Somebody swaps links just now.
        return any(real.is_relative_to(os.path.realpath(folder)) for folder in self.own)


def describe_call(tool: AnyTool, arguments: ToolArguments, place: Place) -> Call:
    """Return what rules need to know of a call."""
    subject = None if tool.subject is None else tool.subject(arguments)
    plain = arguments.model_dump(mode="json")
    match subject:
        case CommandSubject():
            line = read_command_line(subject.line)
            return CommandCall(tool.name, line, place.confined and subject.unsandboxed)
        case FilesSubject():
            names = tuple(place.name(path) for path in subject.paths)
            return FilesCall(tool.name, names, place.secrets(subject.paths))
        case ReadSubject():
            names = tuple(place.name(path) for path in subject.paths)
            secrets = place.secrets(subject.paths)
            return ReadCall(tool.name, names, secrets, canonical_arguments(plain))
        case None if tool.effect == "read" and arguments.model_extra is not None:
            # One of the IDE's: which of its arguments are files shows only on the disk.
            paths = [text for text in texts_in(plain) if place.is_there(text)]
            names = tuple(map(place.name, paths))
            return ReadCall(tool.name, names, place.secrets(paths), canonical_arguments(plain))
        case None:
            secret = tool.effect == "external" and any(
                is_secret_path(text) or place.secrets([text]) for text in texts_in(plain)
            )
            return OtherCall(tool.name, canonical_arguments(plain), secret)
        case _:
            assert_never(subject)


def rules_for(call: Call, rules: Sequence[Rule]) -> Sequence[Rule]:
    """Return the rules with those for commands as rules of the call's tool, if it runs one."""
    if not isinstance(call, CommandCall) or call.tool == COMMANDS:
        return rules
    return [replace(rule, tool=call.tool) if rule.tool == COMMANDS else rule for rule in rules]


def judge(rules: Sequence[Rule], call: Call, place: Place) -> Verdict:
    """Return what the rules say of the call."""
    rules = rules_for(call, rules)
    denies = [rule for rule in rules if rule.decision == "deny"]
    allows = [rule for rule in rules if rule.decision == "allow"]
    for rule in denies:
        if rule.tool == call.tool and isinstance(rule.target, AnyCall):
            return Forbidden(rule)
    match call:
        case CommandCall():
            if call.unsandboxed:
                allows = [rule for rule in allows if rule.tool != call.tool or rule.unsandboxed]
            return _judge_command(allows, denies, call, place)
        case FilesCall():
            return _judge_files(allows, denies, call, place)
        case ReadCall():
            return _judge_reading(allows, denies, call)
        case OtherCall():
            return _judge_other(allows, denies, call)
        case _:
            assert_never(call)


def _judge_other(allows: list[Rule], denies: list[Rule], call: OtherCall) -> Verdict:
    exactly = ExactArguments(call.arguments)
    for rule in denies:
        if rule.tool == call.tool and rule.target == exactly:
            return Forbidden(rule)
    targets = (exactly,) if call.secret else (exactly, AnyCall())
    if any(rule.tool == call.tool and rule.target in targets for rule in allows):
        return Permitted()
    return Unruled(secret=call.secret)


def _judge_reading(allows: list[Rule], denies: list[Rule], call: ReadCall) -> Verdict:
    tools = (READS, call.tool)
    exactly = ExactArguments(call.arguments)
    for rule in denies:
        if rule.tool not in tools:
            continue
        if isinstance(rule.target, AnyCall) or rule.target == exactly:
            return Forbidden(rule)
        if any(name is not None and hides(name, rule) for name in call.names):
            return Forbidden(rule)
    own = [rule for rule in allows if rule.tool in tools]
    if any(rule.target == exactly for rule in own):
        return Permitted()
    return Unruled(secret=not all(may_read(name, own) for name in call.secrets))


def _judge_files(allows: list[Rule], denies: list[Rule], call: FilesCall, place: Place) -> Verdict:
    tools = (EDITS, call.tool)
    names = [name for name in call.names if name is not None]
    for rule in denies:
        if rule.tool not in tools:
            continue
        if isinstance(rule.target, AnyCall) or any(concerns(name, rule) for name in names):
            return Forbidden(rule)
    if names and len(names) == len(call.names):
        own = [rule for rule in allows if rule.tool in tools]
        if all(_may_write(name, own, place, secret=name in call.secrets) for name in names):
            return Permitted()
    guarded = any(place.guarded(name) for name in names)
    return Unruled(guarded=guarded, secret=bool(call.secrets))


def _may_write(name: str, allows: Sequence[Rule], place: Place, *, secret: bool = False) -> bool:
    guarded = secret or place.guarded(name)
    for rule in allows:
        if isinstance(rule.target, AnyCall):
            return True
        if not isinstance(rule.target, PathPattern):
            continue
        if not rule.target.folder and name == rule.target.path:
            return True
        below = not rule.target.path or name.startswith(f"{rule.target.path}/")
        if rule.target.folder and below and not name.startswith("/") and not guarded:
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
        found = denies_line(rule, line)
        if found == "yes":
            return Forbidden(rule)
        says = "maybe" if "maybe" in (says, found) else "no"
    forbidden = _forbids_files(denies, line, targets, place)
    if forbidden is not None:
        return forbidden
    allowed = [rule for rule in allows if rule.tool == call.tool]
    if any(rule.target == ExactCommand(line.text) for rule in allowed):
        return Permitted()
    if says == "maybe" or (own and line.opaque):
        return Unclear()
    if _shows_secrets(line, allows, place):
        return Unruled(secret=True)
    return _judge_parts(allows, call, targets, place)


def _judge_parts(
    allows: list[Rule], call: CommandCall, targets: Sequence[str | None], place: Place
) -> Verdict:
    """Return whether rules allow every command of a line and all that it writes."""
    line = call.line
    allowed = [rule for rule in allows if rule.tool == call.tool]
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


def _forbids_files(
    denies: Sequence[Rule], line: CommandLine, targets: Sequence[str | None], place: Place
) -> Forbidden | None:
    """Return the rule that forbids what the line writes, or the files that it names."""
    for rule in denies:
        if rule.tool == EDITS:
            if any(name is not None and is_below(name, rule) for name in targets):
                return Forbidden(rule)
            if line.writes and isinstance(rule.target, AnyCall):
                return Forbidden(rule)
        elif rule.tool == READS and isinstance(rule.target, PathPattern):
            shown = map(place.name, named_words(line.text))
            if any(name is not None and is_below(name, rule) for name in shown):
                return Forbidden(rule)
    return None


def _shows_secrets(line: CommandLine, allows: Sequence[Rule], place: Place) -> bool:
    """Tell whether a line names files that look secret and that no rule allows to be read."""
    reads = [rule for rule in allows if rule.tool == READS]
    for word in secret_files_named(line.text, place.workspace.roots[0]):
        name = place.name(word)
        if name is None or not may_read(name, reads):
            return True
    return False


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
