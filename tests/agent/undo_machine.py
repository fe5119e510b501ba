"""Random turns of tools and commands, changes of the person, undo, redo and restarts.

What the files hold is compared, byte for byte, with a model that knows nothing of checkpoints: it
sees the files before and after every action and follows the changes back and forth by itself.
"""

import shlex
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import anyio.from_thread
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from punie.tools.base import ToolError
from tests.agent.checkpointed import Project

Content = bytes | str | None
Files = dict[str, Content]

NAMES = ("a", "b", "d/c", "d/e", "f")
TEXTS = ("", "one\n", "two\n", "\ufefftree\n", "no end")
DATA = (b"one\n", b"\0\xff\x01", b"a\r\nb\r\n", b"\xef\xbb\xbfx\r\n", b"\r")

names = st.sampled_from(NAMES)


def octal(data: bytes) -> str:
    return "".join(f"\\{byte:03o}" for byte in data)


def shell_write(name: str, data: bytes) -> str:
    return f"mkdir -p d; rm -f {name}; printf {shlex.quote(octal(data))} > {name}"


actions = st.one_of(
    st.tuples(st.just("write"), names, st.sampled_from(TEXTS)),
    st.tuples(st.just("delete"), names, st.just("")),
    st.tuples(st.just("move"), names, names),
    st.builds(
        lambda name, data: ("command", shell_write(name, data), ""), names, st.sampled_from(DATA)
    ),
    st.builds(lambda name, to: ("command", f"mv -f {name} {to} || true", ""), names, names),
    st.builds(lambda name: ("command", f"rm -f {name}; rmdir d || true", ""), names),
    st.builds(lambda name: ("command", f"mkdir -p d; ln -sfn a {name} || true", ""), names),
    st.just(("command", "rm -rf d; touch a || true", "")),
)


@dataclass
class Changed:
    """One path that one action changed."""

    name: str
    before: Content
    after: Content
    undone: int = 0
    left: set[str] = field(default_factory=set)


class UndoMachine(RuleBasedStateMachine):
    """The project, the model, and what both went through."""

    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="punie-undo-"))
        self.portal_scope = anyio.from_thread.start_blocking_portal()
        self.portal = self.portal_scope.__enter__()
        self.project = Project(self.folder / "project", self.folder / "kept" / "session")
        (self.project.root / "a").write_bytes(b"first\n")
        self.turns: list[list[Changed]] = []
        self.runs = 0
        self.written = 0
        self.seen["sequences"] += 1

    def teardown(self) -> None:
        self.portal.call(self.project.aclose)
        self.portal_scope.__exit__(None, None, None)
        shutil.rmtree(self.folder)

    def files(self) -> Files:
        """Return what is not a folder."""
        return {name: data for name, data in self.project.files().items() if data is not None}

    @rule(acts=st.lists(actions, min_size=1, max_size=3))
    def turn(self, acts: list[tuple[str, str, str]]) -> None:
        """The agent changes files."""
        self.project.begin()
        turn: list[Changed] = []
        for kind, first, second in acts:
            before = self.files()
            self.seen[kind] += 1
            self.portal.call(self._act, kind, first, second)
            now = self.files()
            turn += [
                Changed(name, before.get(name), now.get(name))
                for name in sorted(before.keys() | now.keys())
                if before.get(name) != now.get(name)
            ]
        if not turn:
            # The model knows no folders, and what makes one is a turn.
            self.written += 1
            name, text = "only", f"{self.written}"
            turn.append(Changed(name, self.files().get(name), text.encode()))
            self.portal.call(self._act, "write", name, text)
        self.turns.append(turn)

    async def _act(self, kind: str, first: str, second: str) -> None:
        try:
            match kind:
                case "write":
                    await self.project.edit(first, second)
                case "delete":
                    self.project.context.reads.digests.clear()
                    await self.project.tool("delete", path=first)
                case "move":
                    self.project.context.reads.digests.clear()
                    await self.project.tool("move", path=first, to=second)
                case _:
                    await self.project.command(first)
        except ToolError:
            self.seen["refused"] += 1

    @rule(name=names, deletes=st.booleans())
    def person(self, name: str, deletes: bool) -> None:
        """The person changes or deletes a file."""
        path = self.project.root / name
        self.seen["person"] += 1
        if path.is_dir() or path.parent.is_file() or path.parent.is_symlink():
            return
        path.unlink(missing_ok=True)
        if not deletes:
            self.written += 1
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"person %d" % self.written)

    @rule(most=st.integers(1, 3))
    def undo(self, most: int) -> None:
        """Turns are taken back."""
        self._move("undo", most)

    @rule(most=st.integers(1, 3))
    def redo(self, most: int) -> None:
        """Turns are brought back."""
        self._move("redo", most)

    @rule()
    def restart(self) -> None:
        """The process ends and another one begins."""
        self.seen["restart"] += 1
        self.project.restart()

    def _move(self, way: str, most: int) -> None:
        self.seen[way] += 1
        files = self.files()
        expected, conflicts = self._model(way, most, files)
        move = self.project.undo if way == "undo" else self.project.redo
        answer = self.portal.call(move, most)
        assert self.files() == expected, answer
        if conflicts:
            assert "\n\nNot " in answer, answer
        if files != expected:
            self.seen["moved files"] += 1
        self.seen["conflicts"] += conflicts

    def _model(self, way: str, most: int, files: Files) -> tuple[Files, bool]:
        """Return what the files are to hold, and whether any is to be left alone wholly."""
        self.runs += 1
        order = [*reversed(self.turns)]
        if way == "redo":
            last = {id(turn): max((each.undone for each in turn), default=0) for turn in order}
            order = sorted(self.turns, key=lambda turn: -last[id(turn)])
        chosen: list[list[Changed]] = []
        for turn in order:
            waiting = [each for each in turn if bool(each.undone) == (way == "redo")]
            if way == "undo":
                waiting.reverse()
            if not waiting or len(chosen) == most:
                continue
            told = all(way in each.left for each in waiting)
            if told and not any(self._follow(way, waiting, files).values()):
                continue
            chosen.append(waiting)
        every = [each for waiting in chosen for each in waiting]
        found = self._follow(way, every, files)
        expected = dict(files)
        conflicts = False
        for name, moved in found.items():
            for each in moved:
                end = each.before if way == "undo" else each.after
                expected[name] = end
                each.undone = self.runs if way == "undo" else 0
                each.left.clear()
            here = [each for each in every if each.name == name]
            rest = [each for each in here if not any(each is one for one in moved)]
            for each in rest:
                each.left.add(way)
            conflicts |= not moved
        return {name: data for name, data in expected.items() if data is not None}, conflicts

    def _follow(self, way: str, changes: list[Changed], files: Files) -> dict[str, list[Changed]]:
        """Return the changes of each path that lead on from what it holds."""
        found: dict[str, list[Changed]] = {}
        holds = dict(files)
        stopped: set[str] = set()
        for each in changes:
            moved = found.setdefault(each.name, [])
            source, end = (each.after, each.before) if way == "undo" else (each.before, each.after)
            if each.name in stopped:
                continue
            if holds.get(each.name) == source:
                holds[each.name] = end
            elif holds.get(each.name) != end:
                stopped.add(each.name)
                continue
            moved.append(each)
        return found
