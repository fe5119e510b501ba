"""What `punie ask` shows: the answer on stdout, everything else on stderr, questions too."""

import contextlib
import os
import select
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import anyio
from rich.console import Console
from rich.text import Text

from punie.agent.events import (
    Compacted,
    GuideAdded,
    Notice,
    PermissionAnswered,
    PermissionAsked,
    PermissionChoice,
    PlanChanged,
    TextDelta,
    ThoughtDelta,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    TurnEvent,
    encode_event,
    is_stored,
)
from punie.agent.permissions.choices import (
    ALLOW_ALWAYS,
    ALLOW_ONCE,
    ALLOW_PATTERN,
    REJECT_ALWAYS,
    REJECT_ONCE,
)
from punie.tools.base import ASK_IN_TEXT, DECLINED, Answered, NotAnswered, Question
from punie.tools.presentation import DiffContent, Presentation
from punie.tools.wording import diff_lines

_POLL_S = 0.05
_RESULT_LINES = 8
_KEYS = {
    ALLOW_ONCE: "y",
    ALLOW_ALWAYS: "a",
    ALLOW_PATTERN: "p",
    REJECT_ONCE: "n",
    REJECT_ALWAYS: "never",
}


class Screen(Protocol):
    """Shows a turn to a person and asks what only a person may decide."""

    async def progress(self, text: str) -> None:
        """Show what is being waited for before the turn begins."""
        ...

    async def show(self, event: TurnEvent) -> None:
        """Show one event."""
        ...

    async def ask(self, question: PermissionAsked, *, yes: bool) -> str | None:
        """Return the id of the choice; None when there is none to answer with."""
        ...

    async def question(self, call_id: str, question: Question) -> Answered | NotAnswered:
        """Put a question of the model, asked by a call of this id."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was found."""
        ...


@dataclass(frozen=True)
class Terminal:
    """The terminal that questions are asked on; `descriptor` is read from."""

    descriptor: int


def open_terminal() -> Terminal | None:
    """Return the controlling terminal if somebody sits at it, even when stdin is a pipe."""
    if not sys.stderr.isatty():
        return None
    with contextlib.suppress(OSError):
        return Terminal(os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY))
    return Terminal(os.dup(0)) if sys.stdin.isatty() else None


async def _read_line(terminal: Terminal) -> str | None:
    """Read one line; None at the end of input. Polls, because kqueue cannot watch a terminal."""
    while not select.select([terminal.descriptor], [], [], 0)[0]:
        await anyio.sleep(_POLL_S)
    data = os.read(terminal.descriptor, 4_096)
    return data.decode("utf-8", "replace").strip() if data else None


def _choice(question: PermissionAsked, kind: str) -> str | None:
    return next((choice.id for choice in question.choices if choice.kind == kind), None)


def _key(choice: PermissionChoice) -> str:
    """Return what is typed for an answer; what is for good is not one slip away from another."""
    return _KEYS.get(choice.id, choice.id)


def printable(text: str) -> str:
    """Take out the characters with which a text could steer the terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\ufffd"
        for character in text.replace("\r\n", "\n")
    )


class _Asker:
    """Asks on the terminal; without one, nothing that needs an answer is allowed."""

    def __init__(self, terminal: Terminal | None, console: Console) -> None:
        self._terminal = terminal
        self._console = console

    async def ask(self, question: PermissionAsked, *, yes: bool) -> str | None:
        if yes:
            self._console.print(Text("  allowed by --yes", style="dim"))
            return _choice(question, "allow_once")
        if self._terminal is None:
            self._console.print(
                Text("  denied: nobody can be asked here; --yes or --mode allow it", style="yellow")
            )
            return _choice(question, "reject_once")
        for choice in question.choices:
            self._console.print(Text(f"  {_key(choice):>5}  {printable(choice.name)}"))
        self._console.print(Text("  Allow this? [y/N] ", style="bold yellow"), end="")
        answer = (await _read_line(self._terminal) or "").lower()
        for choice in question.choices:
            if answer in (_key(choice), choice.name.lower()):
                return choice.id
        return _choice(question, "allow_once" if answer == "yes" else "reject_once")

    async def question(self, question: Question) -> Answered | NotAnswered:
        if self._terminal is None:
            return NotAnswered(ASK_IN_TEXT)
        for number, choice in enumerate(question.choices, 1):
            self._console.print(Text(f"  {number}. {printable(choice)}"))
        hint = "Your answer or its number: " if question.choices else "Your answer: "
        self._console.print(Text(f"  {hint}", style="bold yellow"), end="")
        answer = await _read_line(self._terminal)
        if not answer:
            return NotAnswered(DECLINED)
        picked = int(answer) if answer.isascii() and answer.isdigit() else 0
        if 0 < picked <= len(question.choices):
            return Answered(question.choices[picked - 1])
        return Answered(answer)

    def close(self) -> None:
        if self._terminal is not None:
            os.close(self._terminal.descriptor)
            self._terminal = None


class JsonScreen:
    """Prints the events of the session as lines of JSON; only questions are for a person."""

    def __init__(self, terminal: Terminal | None) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._asker = _Asker(terminal, self._console)

    async def progress(self, text: str) -> None:
        """Show nothing: progress is no event."""

    async def show(self, event: TurnEvent) -> None:
        """Print the event, unless it is of the moment."""
        if is_stored(event):
            sys.stdout.write(encode_event(event) + "\n")
            sys.stdout.flush()

    async def ask(self, question: PermissionAsked, *, yes: bool) -> str | None:
        """Show the call on stderr and ask there."""
        self._console.print(Text(f"● {printable(question.presentation.title)}", style="bold"))
        for line in _shown_content(question.presentation):
            self._console.print(line)
        return await self._asker.ask(question, yes=yes)

    async def question(self, call_id: str, question: Question) -> Answered | NotAnswered:
        """Put the question on stderr and ask there."""
        self._console.print(Text(f"● {printable(question.text)}", style="bold"))
        return await self._asker.question(question)

    def close(self) -> None:
        """Close the terminal."""
        self._asker.close()


class TerminalScreen:
    """Streams the answer to stdout and shows the tools on stderr."""

    def __init__(self, terminal: Terminal | None) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._asker = _Asker(terminal, self._console)
        self._safe = sys.stdout.isatty()
        self._shared = self._safe and sys.stderr.isatty()
        self._message: str | None = None
        self._line_open = False
        self._thinking = False
        self._shown: set[str] = set()
        self._streamed: set[str] = set()

    async def progress(self, text: str) -> None:
        """Show what is being waited for."""
        self._console.print(Text(printable(text), style="dim"))

    async def show(self, event: TurnEvent) -> None:
        """Show one event; usage, modes and the like are for other front ends."""
        match event:
            case TextDelta():
                self._answer(event)
            case ThoughtDelta():
                self._thought(event.text)
            case ToolStarted():
                self._note(Text(f"● {printable(event.presentation.title)}", style="bold cyan"))
            case ToolProgress():
                self._streamed.add(event.call_id)
                self._note(Text(printable(event.text), style="dim"), end="")
            case ToolFinished():
                self._finished(event)
            case PermissionAnswered() if event.choice is None:
                self._note(Text("  not answered", style="yellow"))
            case PlanChanged():
                for entry in event.entries:
                    self._note(Text(f"  [{entry.status}] {printable(entry.content)}", style="dim"))
            case Notice():
                colour = {"info": "dim", "warning": "yellow", "error": "bold red"}[event.severity]
                self._note(Text(printable(event.text), style=colour))
            case GuideAdded():
                told = f"(the model was told {' and '.join(event.names)})"
                self._note(Text(printable(told), style="dim"))
            case Compacted():
                self._note(Text(f"({event.sentence})", style="dim"))
            case _:
                pass

    async def ask(self, question: PermissionAsked, *, yes: bool) -> str | None:
        """Show what the call would do, with its whole diff, and ask."""
        self._shown.add(question.call_id)
        for line in _shown_content(question.presentation):
            self._note(line)
        self._end_line()
        return await self._asker.ask(question, yes=yes)

    async def question(self, call_id: str, question: Question) -> Answered | NotAnswered:
        """Put the question whole, since the call's title may have cut it, and ask."""
        self._note(Text(f"  {printable(question.text)}", style="bold"))
        self._end_line()
        return await self._asker.question(question)

    def close(self) -> None:
        """End the answer's last line and close the terminal."""
        if self._line_open:
            sys.stdout.write("\n")
            self._line_open = False
        sys.stdout.flush()
        self._asker.close()

    def _answer(self, event: TextDelta) -> None:
        if self._thinking:
            self._note(Text(""))
        if self._message not in (None, event.message_id) and self._line_open:
            sys.stdout.write("\n")
        self._message = event.message_id
        text = printable(event.text) if self._safe else event.text
        sys.stdout.write(text)
        sys.stdout.flush()
        self._line_open = not text.endswith("\n") if text else self._line_open

    def _thought(self, text: str) -> None:
        if not self._thinking:
            self._end_line()
        self._thinking = True
        self._console.print(Text(printable(text), style="dim italic"), end="")

    def _note(self, text: Text, end: str = "\n") -> None:
        if self._thinking:
            self._thinking = False
            self._console.print()
        self._end_line()
        self._console.print(text, end=end)

    def _end_line(self) -> None:
        """Go to a new line where answer and notes share one terminal."""
        if self._shared and self._line_open:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._line_open = False

    def _finished(self, event: ToolFinished) -> None:
        if event.status == "failed":
            self._note(Text(f"  {printable(event.result)}", style="red"))
            return
        if event.presentation.kind == "edit" and event.call_id not in self._shown:
            for line in _shown_content(event.presentation):
                self._note(line)
        lines = printable(event.result).splitlines() or [""]
        if event.call_id in self._streamed:
            lines = lines[:1]
        for shown in lines[:_RESULT_LINES]:
            self._note(Text(f"  {shown}", style="dim"))
        if len(lines) > _RESULT_LINES:
            self._note(Text(f"  … {len(lines) - _RESULT_LINES} lines more", style="dim"))


def _shown_content(presentation: Presentation) -> Iterator[Text]:
    for content in presentation.content:
        if isinstance(content, DiffContent):
            yield from _diff(content)
        else:
            for line in printable(content.text).splitlines():
                yield Text(f"  {line}", style="dim")


def _diff(content: DiffContent) -> Iterator[Text]:
    # The title has named the file. The diff is shown whole: what is allowed must have been seen.
    for line in diff_lines(content):
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
        yield Text(f"  {printable(line)}", style=style)
