"""A folder in which real tools change files and real commands run, all of it to be taken back."""

from dataclasses import dataclass, field
from pathlib import Path

from punie.agent.undo import just_do, move_turns
from punie.tools.base import ReadLedger, ToolContext
from punie.workspace.base import CommandRequest
from punie.workspace.checkpoints.journal import Change, ChangedTurn, Direction
from punie.workspace.checkpoints.recorder import Recorder
from punie.workspace.checkpoints.workspace import CheckpointedWorkspace
from punie.workspace.local import LocalWorkspace
from tests.tools.conftest import tool_named


@dataclass
class Project:
    """The project at `root`, whose checkpoints are in `kept`."""

    root: Path
    kept: Path
    turns: int = 0
    opened: list[CheckpointedWorkspace] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)
        self.restart()

    def restart(self) -> None:
        """Forget all that is not on disk."""
        self.workspace = CheckpointedWorkspace(LocalWorkspace([self.root]), Recorder(self.kept))
        self.opened.append(self.workspace)
        self.context = ToolContext(self.workspace, ReadLedger(), check_edits="off")

    async def aclose(self) -> None:
        """End what is running."""
        for workspace in self.opened:
            await workspace.aclose()

    def begin(self, text: str = "do it", *, command: bool = False) -> None:
        """Begin a turn."""
        self.turns += 1
        self.workspace.recorder.begin_turn(
            f"turn-{self.turns}-{len(self.opened)}", text, command=command
        )

    async def tool(self, name: str, **arguments: object) -> None:
        """Use a tool."""
        tool = tool_named(name)
        await tool.run(self.context, tool.arguments.model_validate(arguments))

    async def edit(self, name: str, text: str) -> None:
        """Write a file, whatever it holds."""
        self.context.reads.digests.clear()
        await self.tool("write_file", path=name, content=text)

    async def command(self, line: str) -> str:
        """Run a shell command as the agent does; return its output."""
        async with self.workspace.watch.around():
            result = await self.workspace.run(CommandRequest(line, self.root, 30))
        assert result.exit_code == 0, result.output
        return result.output

    async def move(self, direction: Direction, most: int = 1) -> str:
        """Take turns back or bring them back; return what is told."""
        return (await move_turns(self.workspace, direction, most, just_do)).text

    async def undo(self, most: int = 1) -> str:
        """Take turns back."""
        return await self.move("undo", most)

    async def redo(self, most: int = 1) -> str:
        """Bring turns back."""
        return await self.move("redo", most)

    def files(self) -> dict[str, bytes | str | None]:
        """Return all by name: a file's bytes, where a link leads, None for a folder."""
        found: dict[str, bytes | str | None] = {}
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if path.is_symlink():
                found[name] = str(path.readlink())
            elif ".git" not in path.relative_to(self.root).parts:
                found[name] = None if path.is_dir() else path.read_bytes()
        return found

    def journal(self) -> list[ChangedTurn]:
        """Return the turns that were written down."""
        return self.workspace.recorder.journal.turns()

    def changes(self) -> list[Change]:
        """Return the changes that were written down."""
        return [change for turn in self.journal() for change in turn.changes]
