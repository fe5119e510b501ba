"""What can be asked of a language server, in our own terms."""

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import anyio
import anyio.to_thread
from lsprotocol import types

from punie.logs.setup import get_logger
from punie.plain_files import read_plain
from punie.workspace.base import WorkspaceError
from punie.workspace.environment import command_environment
from punie.workspace.lsp import wire
from punie.workspace.lsp.connection import Connection, Question, ServerEndedError, connect
from punie.workspace.lsp.disk_state import DiskState, changes, look
from punie.workspace.lsp.documents import Documents, ReadText
from punie.workspace.lsp.model import Diagnostic, Edit, LanguageServerError, Place, Point, Symbol
from punie.workspace.lsp.other_code import texts_with
from punie.workspace.lsp.positions import Encoding, SourceText
from punie.workspace.processes import ProcessGroup, forget_group, signal_group
from punie.workspace.programs import NO_UV
from punie.workspace.text_files import MAX_TEXT_BYTES

IDLE_SECONDS = 600.0
"""A server that nobody has asked for so long is ended, and with it the memory that it holds."""

ANSWER_SECONDS = 60.0
"""How long a question may take, the server's start and its reading of the project included."""

_MAX_DOUBTFUL = 20
# Of the time of questions that come with every edit, looking at the disk takes a tenth at most.
_LOOK_SHARE = 10
_log = get_logger(__name__)

Doubtful = Callable[[], Sequence[Path]]
"""Names files of which an editor may hold another text than the disk."""

_Answer = TypeVar("_Answer")


class _Texts:
    """The texts that the server has, of open documents and else of the disk. Reading blocks."""

    def __init__(self, documents: Documents, encoding: Encoding) -> None:
        self._documents = documents
        self._encoding: Encoding = encoding
        self.read: dict[Path, SourceText] = {}

    def of(self, path: Path) -> SourceText:
        """Return a file's text; one that cannot be read is empty."""
        if path not in self.read:
            text = self._documents.text(path)
            if text is None:
                try:
                    text = read_plain(path, MAX_TEXT_BYTES).decode("utf-8", "replace")
                except OSError:
                    text = ""
            self.read[path] = SourceText(text, self._encoding)
        return self.read[path]

    def at(self, point: Point) -> dict[str, Any]:
        """Return the parameters of what is asked about a point."""
        return wire.at(point.path, self.of(point.path).server_position(point.line, point.column))

    def place(self, path: Path, span: types.Range) -> Place:
        """Return a stretch of a file in our terms."""
        text = self.of(path)
        line, column = text.our_position(span.start.line, span.start.character)
        end_line, end_column = text.our_position(span.end.line, span.end.character)
        return Place(path, line, column, end_line, end_column, text.line(line))

    def places(self, answer: Any) -> list[Place]:
        """Return the files' places of an answer, each once, by file and line."""
        found = [
            self.place(path, location.range)
            for location in wire.locations(answer)
            if (path := wire.path_of(location.uri)) is not None
        ]
        return sorted(dict.fromkeys(found), key=lambda place: (str(place.path), place.line))


class _Running:
    """A connection and what the server at its end knows of the files."""

    def __init__(self, connection: Connection, read: ReadText, disk: DiskState) -> None:
        self.connection = connection
        self.documents = Documents(connection, read)
        self.disk = disk
        self.encoding: Encoding = "utf-16"
        self.look_at = 0.0
        """When the disk is to be looked at again even for questions that come all the time."""


class LanguageServer:
    """The language server of one root: started by the first question, ended when nobody asks.

    All questions raise `LanguageServerError` when there is no answer, and `WorkspaceError` for a
    file that cannot be read. `overlay` has texts that stand in place of those of the files for
    one question.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        root: Path,
        groups: set[ProcessGroup],
        read: ReadText,
        *,
        doubtful: Doubtful | None = None,
        idle_seconds: float = IDLE_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.root = root
        self._arguments = tuple(arguments)
        self._groups = groups
        self._read = read
        self._doubtful = doubtful
        self._idle_seconds = idle_seconds
        self._answer_seconds = answer_seconds
        self._asking = anyio.Lock()
        self._running: _Running | None = None
        self._closed = False
        # The timer's thread ends an idle server; it must not while a question is asked.
        self._guard = threading.Lock()
        self._busy = False
        self._timer: threading.Timer | None = None

    @property
    def process_id(self) -> int | None:
        """The number of the server's process, None while there is none."""
        running = self._running
        return None if running is None else running.connection.group.number

    async def state(self) -> object:
        """Return what is equal for as long as all answers stay the same, as far as files tell."""
        environment = {**await command_environment(self.root), **NO_UV}
        disk = await anyio.to_thread.run_sync(look, self.root, environment)
        unsaved: list[tuple[Path, str]] = []
        for path in self._unsaved_paths():
            try:
                unsaved.append((path, (await self._read(path)).digest))
            except WorkspaceError:
                continue
        return disk, unsaved

    async def definitions(
        self, points: Sequence[Point], overlay: Mapping[Path, str] | None = None
    ) -> list[list[Place]]:
        """Return for each point where what stands there is defined."""
        return await self._places("textDocument/definition", points, overlay)

    async def references(self, point: Point) -> list[Place]:
        """Return all uses of what stands at a point, its definition included."""
        context = {"context": {"includeDeclaration": True}}
        return (await self._places("textDocument/references", [point], None, context))[0]

    async def implementations(self, point: Point) -> list[Place]:
        """Return the methods that override the one at a point, and the like."""
        return (await self._places("textDocument/implementation", [point], None))[0]

    async def hover(self, point: Point) -> str:
        """Return the type and the documentation of what stands at a point, "" if unknown."""
        return await self._ask(
            [point.path],
            {},
            lambda texts: [("textDocument/hover", texts.at(point))],
            lambda texts, answers: wire.hover_text(answers[0]),
        )

    async def symbols_of(self, path: Path) -> tuple[Symbol, ...]:
        """Return what a file defines, in its order."""

        def take(texts: _Texts, answers: list[Any]) -> tuple[Symbol, ...]:
            listed = wire.document_symbols(answers[0])
            return tuple(_symbol(texts, path, each) for each in listed)

        return await self._ask(
            [path],
            {},
            lambda texts: [("textDocument/documentSymbol", wire.document(path))],
            take,
        )

    async def symbols_named(self, name: str) -> list[Symbol]:
        """Return the project's symbols whose names are like `name`."""

        def take(texts: _Texts, answers: list[Any]) -> list[Symbol]:
            return [
                Symbol(each.name, wire.kind_word(each.kind), texts.place(path, each.location.range))
                for each in wire.workspace_symbols(answers[0])
                if (path := wire.path_of(each.location.uri)) is not None
            ]

        return await self._ask([], {}, lambda texts: [("workspace/symbol", {"query": name})], take)

    async def rename(self, point: Point, new_name: str) -> list[Edit]:
        """Return the edits that give another name to what stands at a point."""

        def take(texts: _Texts, answers: list[Any]) -> list[Edit]:
            return [
                Edit(texts.place(path, edit.range), edit.new_text)
                for uri, edits in wire.edits(answers[0]).items()
                if (path := wire.path_of(uri)) is not None
                for edit in edits
            ]

        return await self._ask(
            [point.path],
            {},
            lambda texts: [("textDocument/rename", {**texts.at(point), "newName": new_name})],
            take,
        )

    async def diagnostics(
        self, paths: Sequence[Path], overlay: Mapping[Path, str], *, hurried: bool = True
    ) -> dict[Path, list[Diagnostic]]:
        """Return what is wrong with each of the files, whose texts are looked at.

        It is asked around every edit, so if `hurried` a change of other files is noticed a little
        later where looking at all of them takes long.
        """

        def take(texts: _Texts, answers: list[Any]) -> dict[Path, list[Diagnostic]]:
            return {
                path: [
                    Diagnostic(
                        texts.place(path, each.range),
                        str(each.code or ""),
                        each.message,
                        wire.severity_word(each.severity),
                    )
                    for each in wire.diagnostics(answer)
                ]
                for path, answer in zip(paths, answers, strict=True)
            }

        return await self._ask(
            paths,
            overlay,
            lambda texts: [("textDocument/diagnostic", wire.document(path)) for path in paths],
            take,
            often=hurried,
        )

    async def other_code(self, modules: Sequence[Path], word: str) -> dict[Path, list[str]] | None:
        """Return by module the texts with a word in code outside of the project, in the whole of
        the package that a module is of; None if those are too many files to look at.
        """
        return await anyio.to_thread.run_sync(texts_with, modules, word)

    async def aclose(self) -> None:
        """End the server for good; a question that waits for its answer is refused."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        with anyio.CancelScope(shield=True):
            await self._drop()

    async def _places(
        self,
        method: str,
        points: Sequence[Point],
        overlay: Mapping[Path, str] | None,
        extra: Mapping[str, Any] | None = None,
    ) -> list[list[Place]]:
        return await self._ask(
            list(dict.fromkeys(point.path for point in points)),
            overlay or {},
            lambda texts: [(method, {**texts.at(point), **(extra or {})}) for point in points],
            lambda texts, answers: [texts.places(answer) for answer in answers],
        )

    async def _ask(
        self,
        wanted: Sequence[Path],
        overlay: Mapping[Path, str],
        build: Callable[[_Texts], list[Question]],
        take: Callable[[_Texts, list[Any]], _Answer],
        *,
        often: bool = False,
    ) -> _Answer:
        async with self._asking:
            with self._guard:
                self._busy = True
            try:
                for _ in range(2):
                    try:
                        with anyio.fail_after(self._answer_seconds):
                            running = await self._started(often=often)
                            return await self._answer(running, wanted, overlay, build, take)
                    except ServerEndedError as error:
                        _log.warning("the language server ended", reason=str(error))
                        await self._drop()
                raise LanguageServerError(
                    "the Python language server ended by itself, twice; use search instead"
                )
            except TimeoutError as error:
                await self._drop()
                raise LanguageServerError(
                    f"the Python language server gave no answer in {self._answer_seconds:g} "
                    "seconds; use search instead"
                ) from error
            finally:
                with self._guard:
                    self._busy = False
                self._wait_for_idleness()

    async def _answer(
        self,
        running: _Running,
        wanted: Sequence[Path],
        overlay: Mapping[Path, str],
        build: Callable[[_Texts], list[Question]],
        take: Callable[[_Texts, list[Any]], _Answer],
    ) -> _Answer:
        doubtful = self._unsaved_paths()
        await running.documents.update(wanted, doubtful, overlay)
        while True:
            texts = _Texts(running.documents, running.encoding)
            answers = await running.connection.exchange(
                await anyio.to_thread.run_sync(build, texts)
            )
            result = await anyio.to_thread.run_sync(take, texts, answers)
            if self._doubtful is None:
                return result
            # What the answer speaks of may be unsaved as well; then it was an answer about other
            # texts than those that the tools see.
            shown = [path for path in texts.read if path.is_relative_to(self.root)]
            more = [path for path in shown if path not in doubtful][:_MAX_DOUBTFUL]
            doubtful += more
            if not more or not await running.documents.update(wanted, doubtful, overlay):
                return result

    def _unsaved_paths(self) -> list[Path]:
        """Return the files of which an editor may hold another text than the disk."""
        return [] if self._doubtful is None else list(self._doubtful())[:_MAX_DOUBTFUL]

    async def _started(self, *, often: bool) -> _Running:
        """Return the running server, told of what has changed on disk; start it if need be."""
        if self._closed:
            raise LanguageServerError("the session has ended, and with it the language server")
        running = self._running
        began = anyio.current_time()
        if often and running is not None and began < running.look_at:
            return running
        environment = {**await command_environment(self.root), **NO_UV}
        disk = await anyio.to_thread.run_sync(look, self.root, environment)
        took = anyio.current_time() - began
        if running is not None and running.disk.packages != disk.packages:
            # Installed packages are not watched one by one.
            await self._drop()
            running = None
        if running is None:
            # The first use of the protocol's types takes a while.
            hello = await anyio.to_thread.run_sync(wire.initialize, self.root)
            connection = connect(self._arguments, self.root, environment, self._groups)
            running = self._running = _Running(connection, self._read, disk)
            try:
                (answer,) = await connection.exchange([("initialize", hello)])
            except anyio.get_cancelled_exc_class():
                # What it says of itself would be lost.
                with anyio.CancelScope(shield=True):
                    await self._drop()
                raise
            chosen = wire.server_encoding(answer)
            running.encoding = next(each for each in get_args(Encoding) if each == chosen)
            connection.notify("initialized", {})
        elif kinds := changes(running.disk, disk):
            running.connection.notify("workspace/didChangeWatchedFiles", wire.watched(kinds))
            running.disk = disk
        running.look_at = began + _LOOK_SHARE * took
        return running

    async def _drop(self) -> None:
        with self._guard:
            running, self._running = self._running, None
        if running is not None:
            await running.connection.aclose()
            self._groups.discard(running.connection.group)

    def _wait_for_idleness(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._running is not None:
            self._timer = threading.Timer(self._idle_seconds, self._end_if_idle)
            self._timer.daemon = True
            self._timer.start()

    def _end_if_idle(self) -> None:
        """End the server; in the timer's thread, so without the event loop."""
        with self._guard:
            if self._busy or self._running is None:
                return
            connection, self._running = self._running.connection, None
            connection.close_pipes()
            signal_group(connection.group, signal.SIGKILL)
            connection.group.leader.wait()
            forget_group(connection.group)
            self._groups.discard(connection.group)


def _symbol(texts: _Texts, path: Path, symbol: types.DocumentSymbol) -> Symbol:
    inner = tuple(_symbol(texts, path, each) for each in symbol.children or ())
    place = texts.place(path, symbol.selection_range)
    return Symbol(symbol.name, wire.kind_word(symbol.kind), place, inner)
