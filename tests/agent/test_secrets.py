"""Secret files and secret values in turns with the real tools."""

import pytest

from punie.agent.events import Mode, PermissionAsked
from tests.agent.scene import Scene, play, results, use

pytestmark = pytest.mark.anyio

MODES: tuple[Mode, ...] = ("ask", "accept_edits", "plan", "auto")


@pytest.mark.parametrize("mode", MODES)
async def test_a_secret_file_is_read_only_after_a_yes(scene: Scene, mode: Mode) -> None:
    root = scene.workspace.roots[0]
    (root / ".env").write_text("COLOUR=mauve\n")
    (root / "alias").symlink_to(".env")
    scene.mode = mode
    reads = [use("read_file", path=path) for path in (".env", "alias", "./src/../.env")]
    events = await play(scene, *reads, answer="reject_once")
    assert len(scene.asked) == 3
    assert results(events) == ["error: the user did not allow this call"] * 3
    [choices] = {asked.choices for asked in scene.asked}
    assert "Always allow reading of `.env`" in [choice.name for choice in choices]
    events = await play(scene, reads[0], answer="allow_always")
    assert results(events) == ["1:COLOUR=mauve"]
    events = await play(scene, *reads)
    assert scene.asked == []
    assert results(events) == ["1:COLOUR=mauve"] * 3


async def test_a_failing_edit_tells_nothing_before_the_yes(scene: Scene) -> None:
    (scene.workspace.roots[0] / ".env").write_text("COLOUR=mauve\n")
    scene.mode = "auto"
    edit = use("edit_file", path=".env", edits=[{"old_text": "COLOUR=red", "new_text": ""}])
    events = await play(scene, edit, answer="reject_once")
    assert len(scene.asked) == 1
    assert not any("mauve" in event.model_dump_json() for event in events)
    events = await play(scene, edit, answer="allow_once")
    [result] = results(events)
    assert "COLOUR=mauve" in result


async def test_broken_rules_leave_secret_files_unread(scene: Scene) -> None:
    (scene.workspace.roots[0] / ".env").write_text("COLOUR=mauve\n")
    (scene.workspace.roots[0] / "a.txt").write_text("text\n")
    scene.permissions.path.parent.mkdir(parents=True)
    scene.permissions.path.write_text("[[rules]\n")
    events = await play(scene, use("read_file", path=".env"), use("read_file", path="a.txt"))
    first, second = results(events)
    assert first.startswith("error: only reading is possible until")
    assert second == "1:text"
    assert not any(isinstance(event, PermissionAsked) for event in events)
