"""Whether a rule that forbids commands means a command line, as a person would read the rule."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from punie.agent.permissions.rules import CommandPattern, ExactCommand, Rule
from punie.agent.permissions.shell import CommandLine, SimpleCommand, Word, read_command_line
from punie.agent.permissions.words import names
from punie.agent.permissions.wrappers import OTHER_SHELLS, RUNNERS, SHELLS, program

# They run what stands in their arguments as text, or comes in on their input.
_RUN_TEXT = (
    RUNNERS
    | SHELLS
    | OTHER_SHELLS
    | names(
        "awk gawk mawk nawk sed perl ruby node deno bun php lua luajit tclsh osascript Rscript R "
        "ghci vi vim nvim ex ed emacs m4 dc gnuplot tar make gmake just npm pnpm yarn bundle conda "
        "mamba micromamba direnv mise asdf nix tox ipython ipython3 ninja tmux screen"
    )
)
_PYTHON = re.compile(r"(?:python|pypy)\d*(?:\.\d+)?")
_TOKEN = re.compile(r"[\w./+@:-]+")

Says = Literal["no", "maybe", "yes"]


def denies_line(rule: Rule, line: CommandLine) -> Says:
    """Tell whether a rule forbids a line, or may do so."""
    match rule.target:
        case ExactCommand():
            return "yes" if _is_same(rule.target.line, line) else "no"
        case CommandPattern():
            found = {_denies_command(rule.target, command) for command in line.each()}
            if "yes" in found or (line.opaque and _mentions(line.text, rule.target)):
                return "yes"
            told = any(map(_runs_text, line.each())) and _mentions(line.text, rule.target)
            return "maybe" if told or "maybe" in found else "no"
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


def _runs_text(command: SimpleCommand) -> bool:
    """Tell whether a command may run others that are not found by reading the line."""
    if command.inner:
        return False
    name = program(command.words[0])
    if name == "git":
        # It may be given an alias.
        return any(word.text.startswith(("-c", "--config-env")) for word in command.words[1:])
    return name in _RUN_TEXT or bool(_PYTHON.fullmatch(name))


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
