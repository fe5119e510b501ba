"""Symbolic links that are put in a path's place while a person thinks about the question."""

from dataclasses import dataclass
from typing import Any

import pytest

from punie.agent.events import PermissionAsked
from tests.agent.scene import Scene, play, results, use

pytestmark = pytest.mark.anyio

PATCH = """*** Begin Patch
*** Update File: src/x/config
@@
-bare = false
+fsmonitor = ./evil
*** End Patch"""


@dataclass
class Swapping(Scene):
    """Puts a link to `.git` in the place of `src/x` before the answer."""

    async def ask(self, asked: PermissionAsked) -> str | None:
        place = self.workspace.roots[0] / "src" / "x"
        if not place.is_symlink():
            place.rename(place.with_name("old"))
            place.symlink_to("../.git")
        return await super().ask(asked)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("write_file", {"path": "src/x/config", "content": "fsmonitor = ./evil\n"}),
        (
            "edit_file",
            {"path": "src/x/config", "edits": [{"old_text": "false", "new_text": "true"}]},
        ),
        ("apply_patch", {"patch": PATCH}),
        ("delete", {"path": "src/x/config"}),
        ("move", {"path": "src/a.txt", "to": "src/x/hooks"}),
        ("read_file", {"path": "src/x/.env"}),
    ],
)
async def test_what_was_allowed_is_the_file_that_was_asked_about(
    scene: Scene, tool: str, arguments: dict[str, Any]
) -> None:
    root = scene.workspace.roots[0]
    for folder in (root / "src" / "x", root / ".git"):
        folder.mkdir()
        (folder / "config").write_text("bare = false\n")
        (folder / ".env").write_text(f"IN={folder.name}\n")
    (root / "src" / "a.txt").write_text("a\n")
    swapping = Swapping(
        scene.model, mode="ask", workspace=scene.workspace, permissions=scene.permissions
    )
    events = await play(swapping, use(tool, **arguments), answer="allow_once")
    assert len(swapping.asked) == 1
    assert "is where a symbolic link leads that was made just now" in results(events)[0]
    assert (root / ".git" / "config").read_text() == "bare = false\n"
    assert not (root / ".git" / "hooks").exists()
