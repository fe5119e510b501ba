"""How the state of a command is told to a model, and what is said of one that needs a terminal."""

import re

from punie.tools.wording import one_line, plain_output
from punie.workspace.base import BackgroundOutput

NO_TERMINAL = (
    "commands have no terminal and nothing to read: pass what it asks for as options or through a "
    "pipe, or ask the user to run it"
)

# What programs say that found no terminal, or the end of their input where an answer should be.
_NEEDS_A_TERMINAL = re.compile(
    r"a terminal is required to (?:read|authenticate)"  # sudo
    r"|sudo: (?:no tty present|a password is required)"
    r"|must be run from a terminal"  # su
    r"|(?:stdin|standard input|input|output|stdout|standard output|this) is not a (?:tty|terminal)"
    r"|(?:Input|Output) is not (?:from|to) a terminal"  # vim
    r"|not a terminal"
    r"|(?:the input device|standard input) is not a TTY"  # docker
    r"|could not read (?:Username|Password) for"  # git
    r"|terminal prompts disabled"
    r"|Inappropriate ioctl for device"
    r"|Error opening terminal"  # curses
    r"|No such device or address: .?/dev/tty|/dev/tty: No such device or address"
    r"|EOFError: EOF when reading a line",  # input() of Python
    re.IGNORECASE,
)
_TAIL_CHARS = 4_000
_BLOCKED_CHARS = 160


def terminal_hint(exit_code: int | None, output: str) -> str:
    """Return what helps a command that failed for want of a terminal, or "".

    Only the program's own words about that count, and only of one that did not succeed.
    """
    if exit_code == 0 or not _NEEDS_A_TERMINAL.search(output[-_TAIL_CHARS:]):
        return ""
    return NO_TERMINAL


def blocked_hint(blocked: str | None) -> str:
    """Return what helps a command that the sandbox kept from something, or ""."""
    if blocked is None:
        return ""
    what = one_line(blocked, _BLOCKED_CHARS)
    return f"the sandbox blocks {what}; if that is needed, call again with unsandboxed=true"


def background_text(result: BackgroundOutput) -> str:
    """Return the state of a background command and its new output."""
    output = plain_output(result.output).rstrip("\n")
    text = f"{_state(result)}\n{output}" if output else f"{_state(result)}, no new output"
    if hint := terminal_hint(result.exit_code or 0, output):
        text = f"{text}\n({hint})"
    if blocked := blocked_hint(result.blocked):
        text = f"{text}\n({blocked})"
    return text


def _state(result: BackgroundOutput) -> str:
    if result.exit_code is None:
        return f"{result.id} runs"
    if result.children:
        return f"{result.id} ended with exit code {result.exit_code}; what it started still runs"
    return f"{result.id} ended with exit code {result.exit_code}"
