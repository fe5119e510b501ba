"""Guides for agents, such as AGENTS.md: what the model is told of them, and when.

Those of the user and of the project's root come with the session's first prompt, the one of a
folder with the first result that has to do with a file below it. What stands in the model's
context is not said again; a guide that changed, or left the context, is.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from anyio import to_thread
from pydantic_ai.messages import ModelMessage, ToolReturnPart, UserPromptPart

from punie.agent.events import GuideAdded
from punie.agent.guide import GUIDE_FILE
from punie.logs.credentials import BY_SHAPE, Credentials
from punie.tools.presentation import DiffContent, Presentation
from punie.tools.wording import fenced, fitting_rows
from punie.workspace.base import Workspace, WorkspaceError
from punie.workspace.roots import root_around
from punie.workspace.secret_files import is_secret_path

GUIDE_NAMES = (GUIDE_FILE, "CLAUDE.md")
"""The names under which a guide is looked for in a folder; the first that is there counts."""

SMALLEST_WINDOW = 8_000
"""Models that can read less tokens than this get no guides."""

_CHARS_PER_TOKEN = 4
_BYTES_PER_CHAR = 4
_WINDOW_SHARE = 16
_MOST_AT_ONCE = 2
_HEAD = "How to work {}, from {}:"
_BLOCK = re.compile(
    r"^How to work [^\n]*, from ([^\n]+):\n(`{3,})\n.*?\n\2$(?:\n\(cut [^\n]*\)$)?",
    re.DOTALL | re.MULTILINE,
)
_TOUCHING = frozenset({"read", "edit", "move", "delete"})


def guide_chars(tokens: int, window: int | None) -> int:
    """Return how many characters of a guide a model with this window is told; 0 for none."""
    if window is None:
        return tokens * _CHARS_PER_TOKEN
    if window < SMALLEST_WINDOW:
        return 0
    return min(tokens, window // _WINDOW_SHARE) * _CHARS_PER_TOKEN


def latest_guides(messages: Iterable[ModelMessage]) -> dict[str, str]:
    """Return the guides that came with these prompts, by name, each as it was said last."""
    found: dict[str, str] = {}
    for message in messages:
        for part in message.parts:
            if isinstance(part, UserPromptPart) and isinstance(part.content, str):
                found.update((match[1], match[0]) for match in _BLOCK.finditer(part.content))
    return found


@dataclass
class ProjectGuides:
    """The guides that one turn comes across, each in at most `chars` characters.

    `messages` returns the model's context as it is now, `user_folder` holds the user's own guide.
    """

    workspace: Workspace
    messages: Callable[[], Sequence[ModelMessage]]
    chars: int
    user_folder: Path | None = None
    _touched: dict[Path, None] = field(default_factory=dict)
    _seen: set[Path] = field(default_factory=set)

    async def at_start(self, secrets: Credentials) -> GuideAdded | None:
        """Return the guides of the user and the root, without what the context holds already.

        `secrets` masks what no model may read, before it is compared too.
        """
        found = []
        if self.chars and self.user_folder is not None:
            found.append(await to_thread.run_sync(self._of_user, self.user_folder))
        if self.chars:
            found.append(await self._of_folder(self.workspace.roots[0], "in this project"))
        masked = [guide.masked(secrets) for guide in found if guide is not None]
        new = [guide for guide in masked if not self._stands(guide.text)]
        if not new:
            return None
        return GuideAdded(
            text="\n\n".join(guide.text for guide in new),
            names=tuple(guide.name for guide in new),
        )

    def touch(self, shown: Presentation) -> None:
        """Take note of the files that a call had to do with."""
        if not self.chars or shown.kind not in _TOUCHING:
            return
        changed = (content.path for content in shown.content if isinstance(content, DiffContent))
        for path in (*(location.path for location in shown.locations), *changed):
            for folder in self._folders(path):
                if folder not in self._seen:
                    self._seen.add(folder)
                    self._touched[folder] = None

    async def of_touched(self, secrets: Credentials) -> str:
        """Return the guides of the folders in which files were touched, a few at a time."""
        texts: list[str] = []
        while self._touched and len(texts) < _MOST_AT_ONCE:
            folder = next(iter(self._touched))
            del self._touched[folder]
            guide = await self._of_folder(folder, f"in {self.workspace.display(folder)}")
            text = "" if guide is None else secrets.text(guide.text)
            if text and not self._stands(text):
                texts.append(text)
        return "\n\n".join(texts)

    def _folders(self, path: Path) -> list[Path]:
        """Return the folders above a file, from the outermost, that may have their own guide."""
        roots = self.workspace.roots
        root = root_around(roots, path)
        if root is None:
            return []
        folders = [folder for folder in path.parents if folder.is_relative_to(root)]
        return [folder for folder in reversed(folders) if folder != roots[0]]

    def _stands(self, text: str) -> bool:
        return any(
            text in part.content
            for message in self.messages()
            for part in message.parts
            if isinstance(part, UserPromptPart | ToolReturnPart) and isinstance(part.content, str)
        )

    async def _of_folder(self, folder: Path, where: str) -> "_Guide | None":
        for name in GUIDE_NAMES:
            try:
                path = self.workspace.resolve(str(folder / name))
                # As it is on disk: this is looked at in every turn, and the IDE would be asked.
                if is_secret_path(path):
                    continue
                limit = self.chars * _BYTES_PER_CHAR
                part = await self.workspace.read_lines(path, 1, None, limit=limit)
            except WorkspaceError:
                continue
            if not any(line.strip() for line in part.lines):
                continue
            shown = self.workspace.display(folder / name)
            whole = part.total == len(part.lines)
            return _guide(shown, where, part.lines, self.chars, whole=whole, readable=True)
        return None

    def _of_user(self, folder: Path) -> "_Guide | None":
        try:
            with (folder / GUIDE_FILE).open("rb") as file:
                raw = file.read(self.chars * _BYTES_PER_CHAR + 1)
        except OSError:
            return None
        lines = raw.decode("utf-8", errors="replace").splitlines()
        whole = len(raw) <= self.chars * _BYTES_PER_CHAR
        if not any(line.strip() for line in lines):
            return None
        name = f"{GUIDE_FILE} of the settings folder"
        return _guide(name, "for this user", lines, self.chars, whole=whole, readable=False)


@dataclass(frozen=True)
class _Guide:
    name: str
    text: str

    def masked(self, secrets: Credentials) -> "_Guide":
        return replace(self, text=secrets.text(self.text))


def _guide(
    name: str, where: str, lines: Sequence[str], limit: int, *, whole: bool, readable: bool
) -> _Guide:
    kept = fitting_rows(lines, limit, least=0) or [lines[0][:limit]]
    text = "\n".join(kept).strip("\n")
    said = f"{_HEAD.format(where, name)}\n{fenced(BY_SHAPE.text(text)).text}"
    if not whole or len(kept) < len(lines) or len(kept[0]) < len(lines[0]):
        more = f"; read_file {name} gives the rest" if readable else ""
        said += f"\n(cut after {len(kept)} lines{more})"
    return _Guide(name, said)
