"""Programs that run what their arguments say: which words of theirs are the command that runs."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from punie.agent.permissions.shell import Need, Word
from punie.agent.permissions.words import names, unknown

Words = tuple[Word, ...]

RUNNERS = names(
    "aws-vault builtin busybox bwrap catchsegv chrt chronic chroot command coproc cpulimit "
    "daemonize dbus-launch dbus-run-session doas docker doppler dotenv entr env envdir eval exec "
    "expect fakeroot faketime firejail flock gdb gtimeout hatch hyperfine ifne ionice kubectl "
    "linux32 linux64 ltrace nice nix-shell nodemon nohup npx nsenter numactl op parallel pdm perf "
    "pipenv pipx pixi pkexec podman prlimit proot pyenv rbenv rlwrap run-parts runuser rustup rye "
    "script setarch setpriv setsid ssh ssh-agent start-stop-daemon stdbuf strace su sudo "
    "systemd-inhibit systemd-run taskset time timeout toybox unbuffer unshare uvx valgrind watch "
    "watchexec xargs xvfb-run"
)
"""Programs that run a command which may stand anywhere in their arguments."""

SHELLS = frozenset({"sh", "bash", "dash"})
OTHER_SHELLS = names("ash csh elvish fish ksh mksh nu osh tcsh xonsh yash zsh")
"""Shells with a grammar that is not read here."""


@dataclass(frozen=True)
class InnerWords:
    """The wrapper runs these commands; `at` is the word at which the only one begins."""

    commands: tuple[Words, ...]
    at: int | None
    need: Need = "inner"
    altered: bool = False
    open_ended: bool = False


@dataclass(frozen=True)
class CodeWord:
    """The wrapper hands this text to a shell."""

    code: str


@dataclass(frozen=True)
class Opaque:
    """What the wrapper runs cannot be told."""

    reason: str


Unwrapped = InnerWords | CodeWord | Opaque | None


def unwrap(words: Words, *, open_ended: bool = False) -> Unwrapped:
    """Return what a command runs; None for one that is no wrapper.

    `open_ended` tells that more arguments will follow, which only a command inside may get.
    """
    name = program(words[0])
    if name in ("uv", "poetry"):
        if len(words) == 1 or words[1].text != "run":
            return None
        rest = _after_options(words, 2, _UV_RUN if name == "uv" else _NO_OPTIONS)
        found = _run(words, rest) if name == "uv" else _from(words, rest)
    elif name in _WRAPPERS:
        found = _WRAPPERS[name](words)
    else:
        return None
    if open_ended and (found is None or (isinstance(found, InnerWords) and found.at is None)):
        return Opaque(f"`{name}` with arguments that are not written out")
    return found


def program(word: Word) -> str:
    """Return the name of the program that a command's first word names."""
    return word.text.rpartition("/")[2]


@dataclass(frozen=True)
class _Options:
    """A wrapper's options that change nothing about what runs: alone, or with a value."""

    alone: frozenset[str] = frozenset()
    valued: frozenset[str] = frozenset()
    joined: re.Pattern[str] = re.compile(r"(?!)")


def _options(alone: str = "", valued: str = "", joined: str = r"(?!)") -> _Options:
    return _Options(names(alone), names(valued), re.compile(joined))


_NO_OPTIONS = _options()
_UV_RUN = _options(
    "-q --quiet --frozen --locked --no-sync --offline --isolated --all-extras --all-groups --dev "
    "--no-dev --no-progress --exact",
    "--extra --group --no-group --only-group --package",
    r"--(?:extra|group|no-group|only-group|package)=.+",
)
_PLAIN: dict[str, _Options] = {
    "nice": _options("", "-n --adjustment", r"-n?-?\d+|--adjustment=-?\d+"),
    "nohup": _NO_OPTIONS,
    "time": _options("-p -v -l"),
    "setsid": _options("-w --wait -f --fork -c --ctty"),
    "stdbuf": _options("", "-i -o -e", r"-[ioe](?:[0L]|\d+)|--(?:input|output|error)=(?:[0L]|\d+)"),
    "exec": _NO_OPTIONS,
    "command": _options("-p"),
    "builtin": _NO_OPTIONS,
}
_TIMEOUT = _options(
    "--preserve-status --foreground -v --verbose",
    "-k -s --kill-after --signal",
    r"--(?:kill-after|signal)=.+|-[ks].+",
)
_ENV = _options("-i - --ignore-environment", "-u --unset", r"--unset=.+")
_SUDO = _options("-n -E -H -b -k -S", "-u -g", r"--user=.+|--non-interactive")
_XARGS = _options(
    "-0 --null -r --no-run-if-empty -t --verbose -x --exit",
    "-n -P -L -s -d -E -a -I --max-args --max-procs --max-lines --max-chars --delimiter --arg-file",
    r"-[nPLsdEI].+|--(?:max-args|max-procs|max-lines|max-chars|delimiter|arg-file)=.+",
)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_DURATION = re.compile(r"\d+(?:\.\d*)?[smhd]?")


def _after_options(words: Words, start: int, options: _Options) -> int | None:
    """Return where the operands begin; None when an option is not one of these."""
    at = start
    while at < len(words):
        word = words[at]
        if not word.option:
            return at
        if not word.known:
            return None
        if word.text == "--":
            return at + 1
        if word.text in options.valued:
            at += 1
            if at >= len(words) or not words[at].known:
                return None
        elif word.text not in options.alone and not options.joined.fullmatch(word.text):
            return None
        at += 1
    return at


def _from(words: Words, at: int | None, need: Need = "inner") -> Unwrapped:
    if at is None or at >= len(words):
        return Opaque(f"`{words[0].text}` in an unusual way")
    return InnerWords((words[at:],), at, need)


def _plain(words: Words) -> Unwrapped:
    name = program(words[0])
    if name == "command" and len(words) > 1 and words[1].text in ("-v", "-V"):
        return None  # It only says what the command is.
    return _from(words, _after_options(words, 1, _PLAIN[name]))


def _timeout(words: Words) -> Unwrapped:
    at = _after_options(words, 1, _TIMEOUT)
    if at is None or at >= len(words) or not _DURATION.fullmatch(words[at].text):
        return Opaque("`timeout` in an unusual way")
    return _from(words, at + 1)


def _env(words: Words) -> Unwrapped:
    if len(words) == 1:
        return None
    at = _after_options(words, 1, _ENV)
    if at is None:
        return Opaque("`env` in an unusual way")
    altered = at > 1
    while at < len(words) and _ASSIGNMENT.match(words[at].text):
        altered = True
        at += 1
    if at >= len(words) or (words[at].option and not words[at].known):
        return Opaque("`env` in an unusual way")
    return InnerWords((words[at:],), at, altered=altered)


def _sudo(words: Words) -> Unwrapped:
    at = _after_options(words, 1, _SUDO)
    if at is None:
        return Opaque(f"`{words[0].text}` in an unusual way")
    altered = False
    while at < len(words) and _ASSIGNMENT.match(words[at].text):
        altered = True
        at += 1
    if at >= len(words):
        return Opaque(f"`{words[0].text}` in an unusual way")
    return InnerWords((words[at:],), at, "named", altered=altered)


def _xargs(words: Words) -> Unwrapped:
    at = _after_options(words, 1, _XARGS)
    if at is None or at >= len(words):
        return Opaque("`xargs` in an unusual way")
    marker = None
    for number, word in enumerate(words[1:at], start=1):
        if word.text.startswith("-I"):
            marker = word.text[2:] or words[number + 1].text
    inner = words[at:]
    if marker is not None:
        inner = tuple(_filled(word, marker) for word in inner)
    return InnerWords((inner,), at, open_ended=marker is None)


def _filled(word: Word, marker: str) -> Word:
    """Return the word as it is when something unknown is put in the marker's place."""
    if marker not in word.text:
        return word
    return unknown(word.text, option=word.option or word.text.startswith(marker))


def _shell(words: Words) -> Unwrapped:
    """Take `sh -c CODE`; a shell that is given a file or reads its input is an ordinary program."""
    at = 1
    code = False
    while at < len(words) and words[at].option:
        if not words[at].known:
            return Opaque("a shell with options that are not written out")
        text = words[at].text
        if text in ("--norc", "--noprofile", "--login", "--posix"):
            at += 1
        elif text == "-o" and at + 1 < len(words) and words[at + 1].text == "pipefail":
            at += 2
        elif re.fullmatch(r"-[celux]+", text):
            code = code or "c" in text
            at += 1
        else:
            return Opaque("a shell in an unusual way")
    if not code:
        return None
    if at >= len(words) or not words[at].known:
        return Opaque("code for a shell that is not written out")
    return CodeWord(words[at].text)


def _other_shell(words: Words) -> Unwrapped:
    """Take a shell with a grammar of its own."""
    if any(word.option for word in words[1:]):
        return Opaque(f"code for {words[0].text}")
    return None


def _eval(words: Words) -> Unwrapped:
    if len(words) == 1 or not all(word.known for word in words):
        return Opaque("`eval` of what is not written out")
    return CodeWord(" ".join(word.text for word in words[1:]))


def _find(words: Words) -> Unwrapped:
    commands = []
    at = 1
    while at < len(words):
        if words[at].text in ("-exec", "-execdir", "-ok", "-okdir"):
            end = next(
                (
                    number
                    for number in range(at + 1, len(words))
                    if words[number].text == ";"
                    or (words[number].text == "+" and words[number - 1].text == "{}")
                ),
                None,
            )
            if end is None or end == at + 1:
                return Opaque("`find` in an unusual way")
            commands.append(tuple(_filled(word, "{}") for word in words[at + 1 : end]))
            at = end
        at += 1
    return InnerWords(tuple(commands), None, "both") if commands else None


def _run(words: Words, at: int | None) -> Unwrapped:
    """Take `uv run`, whose operand may be a script."""
    if at is not None and at < len(words) and words[at].text.endswith((".py", ".pyw")):
        return None  # A script of its own: `uv run tool.py *` names it.
    return _from(words, at)


_WRAPPERS: dict[str, Callable[[Words], Unwrapped]] = {
    **dict.fromkeys(_PLAIN, _plain),
    **dict.fromkeys(SHELLS, _shell),
    **dict.fromkeys(OTHER_SHELLS, _other_shell),
    "timeout": _timeout,
    "gtimeout": _timeout,
    "env": _env,
    "sudo": _sudo,
    "doas": _sudo,
    "xargs": _xargs,
    "eval": _eval,
    "find": _find,
}


def may_evaluate(words: Sequence[Word]) -> bool:
    """Tell whether `test`, `[` or `printf` may take a variable's name, and so run code in it."""
    taken = words[1:2] if program(words[0]) == "printf" else words[1:]
    return any(not word.known or word.text.startswith(("-v", "-R")) for word in taken)
