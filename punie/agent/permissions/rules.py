"""Rules: what a person allowed for good or forbade, and how a rule reads."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from punie.agent.permissions.shell import Word
from punie.agent.permissions.wrappers import Opaque, unwrap

EDITS = "edit"
"""Stands in a rule for every tool that changes files."""
READS = "read"
"""Stands in a rule for every tool that shows what is in files."""
COMMANDS = "run_command"
"""The tool whose calls are command lines."""


OUTSIDE = " outside the sandbox"
"""Stands behind the name of a command that is not to be confined."""


class RuleError(ValueError):
    """A rule cannot be meant so; the message is a clause that says what is wrong with it."""


@dataclass(frozen=True)
class CommandPattern:
    """A command by its words, exactly or (`more`) with any words behind them: `pytest *`."""

    words: tuple[str, ...]
    more: bool

    def __str__(self) -> str:
        return shlex.join(self.words) + (" *" if self.more else "")


@dataclass(frozen=True)
class ExactCommand:
    """One command line, character for character."""

    line: str

    def __str__(self) -> str:
        return self.line


@dataclass(frozen=True)
class PathPattern:
    """A file, or a folder with all that is below it; relative to the first root, or absolute."""

    path: str
    folder: bool = False

    def __str__(self) -> str:
        if not self.folder:
            return self.path
        return f"{self.path}/**" if self.path else "**"


@dataclass(frozen=True)
class ExactArguments:
    """A call of a tool with these arguments; `text` is JSON with sorted keys."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class AnyCall:
    """Every call of the tool."""

    def __str__(self) -> str:
        return "*"


Target = CommandPattern | ExactCommand | PathPattern | ExactArguments | AnyCall


@dataclass(frozen=True)
class Rule:
    """One rule: calls of `tool` that are like `target` are allowed, or never run.

    A rule that allows a command does so in the sandbox only, unless it is `unsandboxed`.
    """

    decision: Literal["allow", "deny"]
    tool: str
    target: Target
    unsandboxed: bool = False

    def __post_init__(self) -> None:
        """Refuse what would allow anything; raises `RuleError`."""
        if self.unsandboxed and (self.decision == "deny" or self.tool != COMMANDS):
            raise RuleError("only a rule that allows a command can speak of the sandbox")
        if self.decision == "deny":
            return
        if isinstance(self.target, AnyCall) and self.tool == READS:
            raise RuleError("all that looks secret is too much to allow; name files or a folder")
        if isinstance(self.target, AnyCall) and self.tool in (COMMANDS, EDITS):
            mode = "auto" if self.tool == COMMANDS else "accept_edits"
            raise RuleError(f"every call of {self.tool} is too much to allow; choose mode {mode}")
        if isinstance(self.target, CommandPattern):
            runs = unwrap(tuple(Word(word, option=word[:1] == "-") for word in self.target.words))
            if isinstance(runs, Opaque):
                raise RuleError(f"`{self.target}` does not name the command that is run")

    def __str__(self) -> str:
        return f"{self.decision} {self.about}"

    @property
    def about(self) -> str:
        """What the rule is about, in words."""
        outside = OUTSIDE if self.unsandboxed else ""
        return f"{name_target(self.tool, self.target)}{outside}"


def name_target(tool: str, target: Target) -> str:
    """Return what a rule is about, in words."""
    match target:
        case CommandPattern() | ExactCommand():
            return f"`{target}`"
        case PathPattern():
            what = {EDITS: "edits", READS: "reading"}.get(tool, tool)
            return f"{what} {'in' if target.folder else 'of'} `{target}`"
        case ExactArguments():
            return f"`{tool}` with exactly {target}"
        case AnyCall():
            return {EDITS: "all edits", READS: "all reading"}.get(tool, f"`{tool}`")
        case _:
            assert_never(target)


def canonical_arguments(arguments: Mapping[str, Any]) -> str:
    """Return a call's arguments as the one text that equal arguments have."""
    return json.dumps(arguments, sort_keys=True, ensure_ascii=False, default=str)


def parse_command_pattern(text: str) -> CommandPattern:
    """Read `pytest *` or `git status`; raise `RuleError` when it is not one command."""
    stripped = text.strip()
    more = stripped.endswith(" *")
    body = stripped.removesuffix(" *").strip()
    words = _plain_words(body)
    if not words or "*" in words or "\n" in body:
        raise RuleError(
            f"`{stripped}` is not one command; write its words, and ` *` if any may follow"
        )
    return CommandPattern(words, more)


def _plain_words(text: str) -> tuple[str, ...]:
    """Return the words of a command that needs no shell; none when it does or is not whole."""
    try:
        reader = shlex.shlex(text, posix=True, punctuation_chars=True)
        reader.whitespace_split, reader.commenters = True, ""
        words = tuple(reader)
        if words != tuple(shlex.split(text)) or any(set(word) & set("$`") for word in words):
            return ()
        operators = set(words) & {";", "&", "|", "&&", "||", "(", ")", "<", ">"}
    except ValueError:
        return ()
    return () if operators else words


def parse_path_pattern(text: str) -> PathPattern:
    """Read `src/a.py` or `src/**`; raise `RuleError` for other patterns and paths that leave."""
    folder = text == "**" or text.endswith("/**")
    path = text.removesuffix("**").rstrip("/") if folder else text.removeprefix("./")
    path = path.removeprefix("./")
    if not text.strip() or "*" in path or "?" in path:
        raise RuleError(f"`{text}` is no path; name a file, or a folder with /** behind it")
    if not folder and text.endswith("/"):
        raise RuleError(f"`{text}` is a folder; write `{text}**` for all that is in it")
    if ".." in path.split("/") or path.startswith("~"):
        raise RuleError(f"`{text}` is not relative to the project")
    if folder and not path and text != "**":
        raise RuleError(f"`{text}` is every file there is")
    return PathPattern(path, folder)
