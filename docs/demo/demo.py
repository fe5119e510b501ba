"""Plays an IDE against the installed `punie acp`, on a small project in a temporary folder.

It is an outside client: raw JSON over pipes, nothing of Punie or of a protocol library imported.
Run it with `make demo`; `--ask` lets you answer the permission question yourself.
"""

import argparse
import difflib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

PATIENCE_S = 100.0
LOOK_UP = "where is load_orders defined?"
CHANGE = "set MAX_RETRIES to 5"
FILES = {
    "app/settings.py": '"""Settings of the shop."""\n\nMAX_RETRIES = 3\nCURRENCY = "EUR"\n',
    "app/orders.py": (
        "def load_orders(path):\n    return path\n\n\n"
        "def total(prices, discount):\n    amount = prices\n    return amount\n"
    ),
    "scripts/report.py": 'print("orders loaded")\n',
}
CHANGED = "app/settings.py"
WANTED = "MAX_RETRIES = 5"


class DemoError(Exception):
    """The demonstration did not go as it must; the message says where."""


class Agent:
    """`punie acp` at the other end of two pipes."""

    def __init__(self, command: list[str], home: Path, project: Path) -> None:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PUNIE_")
        }
        environment |= {"HOME": str(home), "PUNIE_STATE_DIR": str(home / "state")}
        environment |= {"PUNIE_CONFIG_DIR": str(home / "config")}
        self.complaints = home / "stderr.txt"
        with self.complaints.open("wb") as stderr:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
                cwd=project,
            )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._deadline = time.monotonic() + PATIENCE_S
        self._last_id = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def send(self, message: dict[str, Any]) -> None:
        """Write one JSON-RPC message as a line."""
        assert self.process.stdin is not None
        line = json.dumps({"jsonrpc": "2.0", **message}) + "\n"
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise DemoError("the agent has ended") from None

    def request(
        self, method: str, params: dict[str, Any], on_message: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Send a request and return its result; what comes in between goes to `on_message`."""
        self._last_id += 1
        number = self._last_id
        self.send({"id": number, "method": method, "params": params})
        while True:
            message = self._receive()
            if "method" in message:
                on_message(message)
            elif message.get("id") == number:
                if "error" in message:
                    raise DemoError(f"{method} was refused: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=max(0.0, self._deadline - time.monotonic()))
        except queue.Empty:
            raise DemoError(f"no answer within {PATIENCE_S:.0f} seconds") from None
        if not line:
            raise DemoError("the agent has ended")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> tuple[int, float]:
        """Close its stdin, as an IDE does; return the exit code and how long that took."""
        assert self.process.stdin is not None
        started = time.monotonic()
        self.process.stdin.close()
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return code, time.monotonic() - started


class Player:
    """Shows what goes over the wire, and answers permission questions."""

    def __init__(self, console: Console, *, ask: bool) -> None:
        self.console = console
        self.ask = ask
        self._unnamed: dict[str, dict[str, Any]] = {}
        self.asked = 0
        self._streaming = False
        self.agent: Agent | None = None

    def note(self, arrow: str, what: str, more: str = "") -> None:
        """Print one step: an arrow, what it is, and details in grey."""
        self._end_stream()
        self.console.print(f"[bold blue]{arrow}[/] {escape(what)} [dim]{escape(more)}[/]")

    def receive(self, message: dict[str, Any]) -> None:
        """Deal with a request or a notification from the agent."""
        match message["method"]:
            case "session/update":
                self._update(message["params"]["update"])
            case "session/request_permission":
                self._permission(message)
            case other if "id" in message:
                assert self.agent is not None
                error = {"code": -32601, "message": f"{other} is not offered"}
                self.agent.send({"id": message["id"], "error": error})

    def end_turn(self, reason: str) -> None:
        """Close the streamed answer."""
        self.note("←", "turn ended:", reason)

    def _update(self, update: dict[str, Any]) -> None:
        match update["sessionUpdate"]:
            case "agent_message_chunk":
                if not self._streaming:
                    self.console.print("[bold blue]←[/] ", end="")
                self._streaming = True
                self.console.print(Text(update["content"].get("text", ""), "bold"), end="")
            case "tool_call":
                # It may still be written; what it is about is known when it begins.
                self._unnamed[update["toolCallId"]] = dict(update)
                self._name_call(update)
            case "tool_call_update":
                self._name_call(update)
                if update.get("status") not in ("completed", "failed"):
                    return
                colour = "green" if update["status"] == "completed" else "red"
                self._end_stream()
                self.console.print(f"    [{colour}]{update['status']}[/]")
                for content in update.get("content") or ():
                    if content["type"] == "content":
                        self._lines(content["content"].get("text", ""))

    def _name_call(self, update: dict[str, Any], *, asked: bool = False) -> None:
        """Print once what a call is, when all of it is known."""
        call = self._unnamed.get(update["toolCallId"])
        if call is None:
            return
        call.update({name: value for name, value in update.items() if value is not None})
        if asked or call.get("status") != "pending":
            del self._unnamed[update["toolCallId"]]
            self.note("←", f"tool call: {call['title']}", f"({call['kind']})")

    def _lines(self, text: str) -> None:
        lines = [line for line in text.splitlines() if not line.startswith("```")]
        for line in lines[:6]:
            self.console.print(Text(f"    {line}", "dim"))
        if len(lines) > 6:
            self.console.print(Text(f"    … {len(lines) - 6} lines more", "dim"))

    def _permission(self, message: dict[str, Any]) -> None:
        self._end_stream()
        self.asked += 1
        call, options = message["params"]["toolCall"], message["params"]["options"]
        self._name_call(call, asked=True)
        shown = Text()
        for content in call.get("content") or ():
            if content["type"] == "diff":
                shown.append(_diff(content))
        title = escape(str(call.get("title", "a tool call")))
        names = "  ".join(f"[ {option['name']} ]" for option in options)
        shown.append(names, "bold")
        self.console.print(
            Panel(shown, title=f"May I? {title}", border_style="yellow", title_align="left")
        )
        kind = "allow_once"
        if self.ask:
            answer = self.console.input("[bold yellow]Allow this? \\[y/N] [/]").strip().lower()
            kind = "allow_once" if answer in ("y", "yes") else "reject_once"
        chosen = next(option for option in options if option["kind"] == kind)
        who = "you" if self.ask else "the demo answers by itself; --ask lets you answer"
        self.note("→", f"{chosen['name']}", f"({who})")
        outcome = {"outcome": "selected", "optionId": chosen["optionId"]}
        assert self.agent is not None
        self.agent.send({"id": message["id"], "result": {"outcome": outcome}})

    def _end_stream(self) -> None:
        if self._streaming:
            self.console.print()
        self._streaming = False


def _diff(content: dict[str, Any]) -> Text:
    before = (content.get("oldText") or "").splitlines()
    after = content["newText"].splitlines()
    text = Text(f"{Path(content['path']).name}\n", "bold")
    for line in list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
        text.append(f"{line}\n", style)
    return text


def play(console: Console, command: list[str], folder: Path, *, ask: bool) -> None:
    """Play the whole session; raise `DemoError` where it goes wrong."""
    project, home = folder / "shop", folder / "home"
    home.mkdir()
    for name, text in FILES.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")

    started = time.monotonic()
    player = Player(console, ask=ask)
    agent = player.agent = Agent(command, home, project)
    try:
        _converse(player, agent, project, started)
    except DemoError:
        agent.process.kill()
        agent.process.wait()
        complaints = agent.complaints.read_text(errors="replace").strip()
        if complaints:
            console.print(Text(complaints[-2_000:], "red"))
        raise
    code, seconds = agent.close()
    player.note("→", "stdin closed;", f"the agent ended with {code} in {seconds:.2f} s")

    console.print(Rule("on the disk", align="left", style="dim"))
    line = (project / CHANGED).read_text(encoding="utf-8").splitlines()[2]
    console.print(Text.assemble((f"{CHANGED}:3 ", "dim"), (line, "bold green")))
    if line != WANTED:
        raise DemoError(f"{CHANGED} should hold {WANTED!r} now")
    if not player.asked:
        raise DemoError("the edit was made without asking")
    if code != 0:
        raise DemoError(f"the agent ended with {code}")


def _converse(player: Player, agent: Agent, project: Path, started: float) -> None:
    player.console.print(Rule("handshake", align="left", style="dim"))
    player.note("→", "initialize", "protocol 1")
    client = {"name": "punie-demo", "title": "Demo client", "version": "1"}
    files = {"readTextFile": False, "writeTextFile": False}
    result = agent.request(
        "initialize",
        {
            "protocolVersion": 1,
            "clientInfo": client,
            "clientCapabilities": {"fs": files, "terminal": False},
        },
        player.receive,
    )
    who = result["agentInfo"]
    took = time.monotonic() - started
    player.note(
        "←",
        f"{who['title']} {who['version']}, protocol {result['protocolVersion']}",
        f"{took:.2f} s after its start",
    )
    player.note("→", "session/new", "a small generated project")
    session = agent.request("session/new", {"cwd": str(project), "mcpServers": []}, player.receive)
    modes = session.get("modes") or {}
    player.note("←", f"session in mode {modes.get('currentModeId', '?')}")
    for prompt in (LOOK_UP, CHANGE):
        player.console.print(Rule(f"“{prompt}”", align="left", style="magenta"))
        ended = agent.request(
            "session/prompt",
            {
                "sessionId": session["sessionId"],
                "prompt": [{"type": "text", "text": prompt}],
            },
            player.receive,
        )
        player.end_turn(ended["stopReason"])


def find_punie() -> str:
    """Return the installed command: the one beside this Python, else the one on the PATH."""
    beside = Path(sys.executable).with_name("punie")
    found = str(beside) if beside.is_file() else shutil.which("punie")
    if found is None:
        raise DemoError("punie is not installed here; `make demo` does that first")
    return found


def main() -> int:
    """Run the demonstration; 0 when the edit reached the disk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ask", action="store_true", help="answer the permission question")
    parser.add_argument("--model", help="model to use instead of the bundled one")
    parser.add_argument("--svg", type=Path, help="also write a picture of the session")
    options = parser.parse_args()
    width = 92 if options.svg else None
    console = Console(record=options.svg is not None, width=width, highlight=False)
    try:
        command = [find_punie(), "acp"]
        if options.model:
            command += ["--model", options.model]
        with tempfile.TemporaryDirectory(prefix="punie-demo-") as folder:
            play(console, command, Path(folder).resolve(), ask=options.ask)
    except DemoError as error:
        console.print(Text(f"The demo failed: {error}.", "bold red"))
        return 1
    except KeyboardInterrupt:
        return 130
    if options.svg:
        # Without the fonts that rich would have every reader's browser fetch.
        plain = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        console.save_svg(str(options.svg), title="make demo", code_format=plain)
    return 0


if __name__ == "__main__":
    sys.exit(main())
