"""BFCL's simulated APIs at work: their classes run confined, in a process for each conversation."""

import contextlib
import json
import os
import shlex
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread

from punie.evaluation.confinement import CONFINED
from punie.evaluation.errors import EvaluationError
from punie.evaluation.suites.external.bfcl_conversations import PACKAGE, Conversation, Simulation
from punie.workspace.base import CommandRequest, WorkspaceError
from punie.workspace.commands import END_GRACE_SECONDS, start_launch
from punie.workspace.local import LocalWorkspace
from punie.workspace.memory import MemoryWatch
from punie.workspace.processes import end_group

ANSWER_SECONDS = 30.0
"""What one call may take; BFCL's own take milliseconds."""

_LOAD_SECONDS = 60.0

_PROGRAM = Path(__file__).parent / "programs" / "bfcl_simulation.py"
_CHUNK_BYTES = 65_536
_MOST_BYTES = 64_000_000

Player = Literal["model", "truth"]
"""Whose instances of the classes are meant: the model's, or those of the calls that are due."""


class SimulationEndedError(Exception):
    """The process has ended, or was ended because it did not answer; the message says which."""


class Simulated:
    """A process that runs the classes of conversations; to be closed."""

    def __init__(self, descriptor: int, seconds: float, open_: contextlib.AsyncExitStack) -> None:
        self._descriptor = descriptor
        self._seconds = seconds
        self._open = open_
        self._received = bytearray()
        self._ended = ""

    async def load(self, player: Player, conversation: Conversation) -> str:
        """Give a player instances in the state in which the conversation begins.

        Returns the name of a module that is not installed and that they need, "" if all are.

        Raises:
            EvaluationError: the classes cannot be loaded.
            SimulationEndedError: the process has ended.
        """
        modules = conversation.simulation.modules
        answer = await self._ask(
            "loading the classes",
            _LOAD_SECONDS,
            do="load",
            player=player,
            package=".".join(PACKAGE),
            classes=[(name, modules[name]) for name in conversation.classes],
            config=conversation.config,
            long_context=conversation.long_context,
        )
        if "failed" in answer:
            named = ", ".join(conversation.classes)
            raise EvaluationError(f"{named} cannot be loaded ({answer['failed']:.200}).")
        return str(answer.get("missing") or "")

    async def call(self, player: Player, name: str, arguments: Mapping[str, Any]) -> str:
        """Call a function and return its result in BFCL's words, an error too.

        Raises:
            SimulationEndedError: the process has ended, perhaps in this call.
        """
        asked = {"do": "call", "player": player, "name": name, "arguments": arguments}
        answer = await self._ask(name, self._seconds, **asked)
        return str(answer.get("result", answer.get("failed")))

    async def run(self, player: Player, source: str) -> str:
        """Do the same with a call that is written in Python."""
        answer = await self._ask(source, self._seconds, do="run", player=player, source=source)
        return str(answer.get("result", answer.get("failed")))

    async def differing(self) -> list[str]:
        """Name the public attributes in which the model's instances are not as those due.

        Raises:
            SimulationEndedError: the process has ended.
        """
        players = ["model", "truth"]
        answer = await self._ask("the comparison", self._seconds, do="compare", players=players)
        return [str(each) for each in answer.get("differing", [answer.get("failed")])]

    async def aclose(self) -> None:
        """End the process and all that it started. Cancelling does not keep it from that."""
        with anyio.CancelScope(shield=True):
            await self._open.aclose()

    async def _ask(self, what: str, seconds: float, **asked: Any) -> dict[str, Any]:
        if self._ended:
            raise SimulationEndedError(self._ended)
        # Once this is cancelled the answer would be taken for that of the next question.
        self._ended = "The functions were stopped."
        try:
            with anyio.fail_after(seconds):
                await self._send(json.dumps(asked).encode() + b"\n")
                line = await self._line()
            answer: dict[str, Any] = json.loads(line)
        except TimeoutError as error:
            self._ended = f"{what:.80} did not return within {seconds:g} seconds."
            raise SimulationEndedError(self._ended) from error
        except (OSError, EOFError, ValueError) as error:
            self._ended = f"The process of the functions ended during {what:.80}."
            raise SimulationEndedError(self._ended) from error
        self._ended = ""
        return answer

    async def _send(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            await anyio.wait_writable(self._descriptor)
            with contextlib.suppress(BlockingIOError):
                left = left[os.write(self._descriptor, left[:_CHUNK_BYTES]) :]

    async def _line(self) -> bytes:
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched > _MOST_BYTES:
                raise EOFError
            await anyio.wait_readable(self._descriptor)
            with contextlib.suppress(BlockingIOError):
                data = os.read(self._descriptor, _CHUNK_BYTES)
                if not data:
                    raise EOFError
                self._received += data
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line


async def start_simulation(
    simulation: Simulation, python: str, seconds: float = ANSWER_SECONDS
) -> Simulated:
    """Start a process of this Python that can run the classes of a checkout.

    `seconds` is what a call may take.

    Raises:
        EvaluationError: it cannot be started, or no sandbox works here.
    """
    opened = contextlib.AsyncExitStack()
    try:
        private = tempfile.TemporaryDirectory(prefix="punie-bfcl-", ignore_cleanup_errors=True)
        folder = Path(opened.enter_context(private)).resolve()
        await anyio.to_thread.run_sync(_lay_out, simulation, folder)
        workspace = LocalWorkspace([folder], CONFINED)
        opened.push_async_callback(workspace.aclose)
        confinement = await workspace.confinement()
        if not confinement.active:
            raise EvaluationError(
                "BFCL's programs, which answer calls of several turns, run in a sandbox only, and "
                f"none works: {confinement.missing}."
            )
        # -E: what the evaluation's environment adds to other Pythons is not for this one.
        words = shlex.join((python, "-E", "-B", _PROGRAM.name))
        launch = await workspace.launch(CommandRequest(f"exec {words}", folder, seconds))
        ours, its = socket.socketpair()
        opened.callback(ours.close)
        with its, open(os.devnull, "wb") as nothing:  # noqa: PTH123
            group = start_launch(
                launch, stdin=its.fileno(), stdout=its.fileno(), stderr=nothing.fileno()
            )
        opened.push_async_callback(end_group, group, END_GRACE_SECONDS)
        opened.enter_context(MemoryWatch(group))
        ours.setblocking(False)
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await opened.aclose()
        if isinstance(error, OSError | WorkspaceError):
            raise EvaluationError(f"BFCL's programs cannot be run: {error}.") from error
        raise
    return Simulated(ours.fileno(), seconds, opened)


async def python_for(conversation: Conversation) -> str:
    """Return a Python that can run a conversation's classes: Punie's own, or `python3`.

    Raises:
        EvaluationError: there is none, or the classes are broken.
    """
    missing = ""
    for python in (sys.executable, "python3"):
        simulated = await start_simulation(conversation.simulation, python)
        try:
            missing = await simulated.load("model", conversation)
        except SimulationEndedError as error:
            if not missing:
                raise EvaluationError(f"BFCL's programs do not run: {error}") from error
        else:
            if not missing:
                return python
        finally:
            await simulated.aclose()
    raise EvaluationError(
        f"Functions of BFCL's programs need the Python module {missing}, which neither Punie's "
        "Python nor python3 has; install it for python3."
    )


def _lay_out(simulation: Simulation, folder: Path) -> None:
    """Write the sources as the package that they import each other by, and the program."""
    package = folder
    for part in PACKAGE:
        package /= part
        package.mkdir()
        (package / "__init__.py").touch()
    for name, text in simulation.sources.items():
        (package / name).write_text(text, "utf-8")
    (folder / _PROGRAM.name).write_bytes(_PROGRAM.read_bytes())
