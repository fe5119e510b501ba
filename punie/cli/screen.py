"""What `punie ask` shows: the answer on stdout, everything else on stderr, questions too.

It is told what the protocol says, as its JSON.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

from punie.cli.questions import Asker
from punie.cli.terminal import Terminal, printable
from punie.tools.presentation import DiffContent
from punie.tools.wording import diff_lines

Json = dict[str, Any]

_RESULT_LINES = 8
_FENCE = re.compile(r"(```+)\w*$")
_COLOURS = {"info": "dim", "warning": "yellow", "error": "bold red"}


class Screen(Protocol):
    """Shows a turn to a person and asks what only a person may decide."""

    @property
    def attended(self) -> bool:
        """Whether somebody can be asked."""

    def began(self, session: Json) -> None:
        """Show that the prompt goes to a session."""

    def show(self, update: Json) -> None:
        """Show one update of the session."""

    async def permission(self, params: Json) -> str | None:
        """Return the id of the chosen option; None when there is none to answer with."""

    async def question(self, params: Json) -> Json | None:
        """Have a form filled in; None if the person declines."""

    def ended(self, outcome: Json) -> None:
        """Show how the turn ended, and leave the terminal as it was found."""


class JsonScreen:
    """Prints what happens as lines of JSON; only questions are for a person."""

    def __init__(self, terminal: Terminal | None, *, yes: bool) -> None:
        self._console = _console()
        self._asker = Asker(terminal, self._console, yes=yes)

    @property
    def attended(self) -> bool:
        """Whether somebody can be asked."""
        return self._asker.attended

    def began(self, session: Json) -> None:
        """Print the session and the prompt."""
        self._print("prompt", session)

    def show(self, update: Json) -> None:
        """Print the update as it came."""
        self._print("update", {"update": update})

    async def permission(self, params: Json) -> str | None:
        """Show the call on stderr, ask there, and print the question with its answer."""
        call, options = params["toolCall"], params["options"]
        self._console.print(Text(f"● {printable(call.get('title') or '')}", style="bold"))
        for line in _shown_content(call.get("content")):
            self._console.print(line)
        chosen = None
        try:
            chosen = await self._asker.permission(options)
        finally:
            self._print("permission", {"toolCall": call, "options": options, "chosen": chosen})
        return chosen

    async def question(self, params: Json) -> Json | None:
        """Put the question on stderr, ask there, and print it with its answer."""
        self._console.print(Text(f"● {printable(params['message'])}", style="bold"))
        answer = None
        try:
            answer = await self._asker.form(params["requestedSchema"])
        finally:
            self._print("question", {"message": params["message"], "answer": answer})
        return answer

    def ended(self, outcome: Json) -> None:
        """Print how the turn ended and close the terminal."""
        self._print("end", outcome)
        self._asker.close()

    def _print(self, kind: str, values: Json) -> None:
        sys.stdout.write(json.dumps({"type": kind, **values}) + "\n")
        sys.stdout.flush()


class TerminalScreen:
    """Streams the answer to stdout and shows the tools on stderr."""

    def __init__(self, terminal: Terminal | None, *, yes: bool, thoughts: bool) -> None:
        self._console = _console()
        self._asker = Asker(terminal, self._console, yes=yes)
        self._safe = sys.stdout.isatty()
        self._shared = self._safe and sys.stderr.isatty()
        self._thoughts = thoughts
        self._asking = 0
        self._held: list[Json] = []
        self._message: str | None = None
        self._line_open = False
        self._thinking = False
        self._calls: dict[str, _Call] = {}

    @property
    def attended(self) -> bool:
        """Whether somebody can be asked."""
        return self._asker.attended

    def began(self, session: Json) -> None:
        """Show nothing: the person has just written the prompt."""

    def show(self, update: Json) -> None:
        """Show one update; what comes during a question waits for its end."""
        if self._asking:
            self._held.append(update)
            return
        match update.get("sessionUpdate"):
            case "agent_message_chunk":
                self._answer(_text(update["content"]), update.get("messageId"))
            case "agent_thought_chunk" if self._thoughts:
                self._thought(_text(update["content"]))
            case "tool_call" | "tool_call_update":
                self._call(update)
            case "plan":
                for entry in update["entries"]:
                    line = f"  [{entry['status']}] {printable(entry['content'])}"
                    self._note(Text(line, style="dim"))
            case "notice":
                self._note(
                    Text(printable(update["title"]), style=_COLOURS.get(update["severity"], "dim"))
                )
            case "compaction_update":
                told = " ".join(_text(block) for block in update.get("summary") or ())
                self._note(Text(f"({printable(told)})", style="dim"))
            case _:
                pass  # usage, modes and the like are for other front ends

    async def permission(self, params: Json) -> str | None:
        """Show what the call would do, with its whole diff, and ask."""
        call = params["toolCall"]
        self._title(call)
        self._known(call).shown = True
        for line in _shown_content(call.get("content")):
            self._note(line)
        self._end_line()
        self._asking += 1
        try:
            return await self._asker.permission(params["options"])
        finally:
            self._answered()

    async def question(self, params: Json) -> Json | None:
        """Put the question whole, since the call's title may have cut it, and ask."""
        self._calls.setdefault(params.get("toolCallId", ""), _Call()).asked = True
        self._note(Text(f"  {printable(params['message'])}", style="bold"))
        self._end_line()
        self._asking += 1
        try:
            return await self._asker.form(params["requestedSchema"])
        finally:
            self._answered()

    def ended(self, outcome: Json) -> None:
        """End the answer's last line and close the terminal."""
        if self._line_open:
            sys.stdout.write("\n")
            self._line_open = False
        sys.stdout.flush()
        self._asker.close()

    def _answered(self) -> None:
        self._asking -= 1
        held, self._held = self._held, []
        for update in held:
            self.show(update)

    def _answer(self, text: str, message_id: str | None) -> None:
        if self._thinking:
            self._note(Text(""))
        if self._message not in (None, message_id) and self._line_open:
            sys.stdout.write("\n")
        self._message = message_id
        text = printable(text) if self._safe else text
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

    def _call(self, update: Json) -> None:
        call = self._known(update)
        if update.get("title"):
            call.title = update["title"]
        call.kind = update.get("kind") or call.kind
        if update["sessionUpdate"] == "tool_call":
            return  # It may still be being written, and its title with it.
        status = update.get("status")
        if status in ("in_progress", "completed", "failed"):
            self._title(update)
        if status in ("completed", "failed"):
            self._finished(call, update)
        elif call.titled:
            self._progress(call, update.get("content"))

    def _known(self, update: Json) -> "_Call":
        return self._calls.setdefault(update["toolCallId"], _Call())

    def _title(self, update: Json) -> None:
        call = self._known(update)
        if not call.titled:
            call.titled = True
            title = update.get("title") or call.title
            self._note(Text(f"● {printable(title)}", style="bold cyan"))

    def _progress(self, call: "_Call", content: Sequence[Json] | None) -> None:
        """Show what a call has put out since; the protocol tells the end of all of it each time."""
        texts = _texts(content)
        if len(texts) != 1:
            return
        self._note(Text(printable(added(call.output, texts[0])), style="dim"), end="")
        call.output = texts[0]

    def _finished(self, call: "_Call", update: Json) -> None:
        content = update.get("content") or []
        texts = _texts(content)
        if update["status"] == "failed":
            self._note(Text(f"  {printable(texts[-1] if texts else 'failed')}", style="red"))
            return
        if not call.shown:
            for line in _shown_diffs(content):
                self._note(line)
        if call.kind == "edit":
            texts = []
        if call.asked:
            texts = texts[-1:]
        lines = [line for text in texts for line in unfenced(printable(text))]
        if call.output:
            lines = lines[:1]
        for shown in lines[:_RESULT_LINES]:
            self._note(Text(f"  {shown}", style="dim"))
        if len(lines) > _RESULT_LINES:
            self._note(Text(f"  … {len(lines) - _RESULT_LINES} lines more", style="dim"))


class _Call:
    """What was shown of a tool call: whether its diffs were, or the question that it `asked`."""

    def __init__(self) -> None:
        self.title = ""
        self.kind = "other"
        self.titled = False
        self.shown = False
        self.asked = False
        self.output = ""


def _console() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def _text(block: Json) -> str:
    return str(block.get("text") or "")


def _texts(content: Sequence[Json] | None) -> list[str]:
    return [_text(each["content"]) for each in content or () if each.get("type") == "content"]


def added(before: str, now: str) -> str:
    """Return what `now`, the end of an output, has more than `before`, an earlier end of it."""
    start = 0
    while start >= 0 and not now.startswith(before[start:]):
        start = before.find(now[:1], start + 1)
    return now if start < 0 else now[len(before) - start :]


def unfenced(text: str) -> list[str]:
    """Return the lines, without the fence of a text that is one block of code."""
    lines = text.splitlines()
    fenced = len(lines) > 1 and _FENCE.match(lines[0])
    return lines[1:-1] if fenced and lines[-1] == fenced[1] else lines


def _shown_content(content: Sequence[Json] | None) -> Iterator[Text]:
    for each in content or ():
        if each.get("type") == "diff":
            yield from _diff(each)
        else:
            for line in unfenced(printable("".join(_texts([each])))):
                yield Text(f"  {line}", style="dim")


def _shown_diffs(content: Sequence[Json]) -> Iterator[Text]:
    for each in content:
        if each.get("type") == "diff":
            yield from _diff(each)


def _diff(block: Json) -> Iterator[Text]:
    # The title has named the file. The diff is shown whole: what is allowed must have been seen.
    change = DiffContent(
        path=Path(block["path"]), old_text=block.get("oldText"), new_text=block["newText"]
    )
    for line in diff_lines(change):
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
        yield Text(f"  {printable(line)}", style=style)
