"""Secret files and secret values in turns with the real tools."""

import pytest

from punie.agent.events import Mode, PermissionAsked, ToolProgress, TurnEvent, encode_event
from tests.agent.scene import Scene, play, results, use
from tests.agent.stage import Piece

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


TOKEN = "ghp_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3d"
VALUE = "Tr0ub4dor&3-of-the-environment"


def everything(events: list[TurnEvent]) -> str:
    return "\n".join(encode_event(event) for event in events)


async def test_values_of_the_environment_are_masked_in_all_that_is_told(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOY_PASSWORD", VALUE)
    scene.mode = "auto"
    halves = 'printf "a ${DEPLOY_PASSWORD%-of*}"; sleep 0.3; echo "${DEPLOY_PASSWORD#*3}"'
    events = await play(
        scene,
        use("run_command", command="printenv DEPLOY_PASSWORD"),
        use("run_command", command=halves),
        use("run_command", command="printenv DEPLOY_PASSWORD >&2; exit 3"),
        use("run_command", command="printenv DEPLOY_PASSWORD > copy.txt"),
        use("read_file", path="copy.txt"),
        use("search", pattern="of-the-environment"),
    )
    assert results(events) == [
        "exit code 0\n***",
        "exit code 0\na ***",
        "exit code 3\n***",
        "exit code 0",
        "1:***",
        "copy.txt:1:***",
    ]
    assert "Tr0ub4dor" not in everything(events)
    progress = [event.text for event in events if isinstance(event, ToolProgress)]
    assert "".join(progress) == "***\na ***\n***\n"


async def test_values_of_env_files_are_masked_without_their_being_read(scene: Scene) -> None:
    root = scene.workspace.roots[0]
    (root / ".env").write_text(f'API_TOKEN="{VALUE}"\nMODE=development\n')
    scene.mode = "auto"
    events = await play(
        scene,
        use("run_command", command="grep -r . --no-filename . | sort"),
        # Written by a command of the same turn.
        use("run_command", command="echo 'OTHER_SECRET=another-Secret-1' > .e''nv.local"),
        use("run_command", command="cat .[e]nv.local; echo another-Secret-1"),
        answer="allow_once",
    )
    first, _, third = results(events)
    assert first == 'exit code 0\nAPI_TOKEN="***"\nMODE=development'
    assert third == "exit code 0\nOTHER_SECRET=***\n***"


async def test_files_are_masked_by_shape_alone_and_edited_around_the_mask(scene: Scene) -> None:
    root = scene.workspace.roots[0]
    source = f'password = ask()\ntoken = "{TOKEN}"\nlevel = 1\n'
    (root / "a.py").write_text(source)
    scene.mode = "auto"

    def edit(old: str, new: str) -> list[Piece]:
        return use("edit_file", path="a.py", edits=[{"old_text": old, "new_text": new}])

    patch = (
        "--- a/a.py\n+++ b/a.py\n@@ -1,3 +1,3 @@\n password = ask()\n{}\n-level = 1\n+level = 2\n"
    )
    events = await play(
        scene,
        use("read_file", path="a.py"),
        edit('token = "***"', 'token = "x"'),
        edit("level = 1", "level = '***'"),
        use("write_file", path="a.py", content='token = "***"\n'),
        use("apply_patch", patch=patch.format(' token = "***"')),
    )
    read, *refused = results(events)
    assert read == '1:password = ask()\n2:token = "***"\n3:level = 1'
    assert len(refused) == 4
    for result in refused:
        assert result.startswith("error: *** stands for a secret in a.py that is not shown")
    assert (root / "a.py").read_text() == source
    events = await play(scene, edit("level = 1", "level = 2"))
    assert (root / "a.py").read_text() == source.replace("1\n", "2\n")
    # A file without secrets may hold as many stars as it likes.
    (root / "b.md").write_text("a\n")
    events = await play(scene, use("write_file", path="b.md", content="a\n\n***\n"))
    assert (root / "b.md").read_text() == "a\n\n***\n"


async def test_errors_are_masked(scene: Scene) -> None:
    root = scene.workspace.roots[0]
    (root / "a.py").write_text(f"a = '{TOKEN}1'\n")
    scene.mode = "auto"
    edit = use("edit_file", path="a.py", edits=[{"old_text": f"a = '{TOKEN}0'", "new_text": ""}])
    events = await play(scene, edit)
    [result] = results(events)
    assert "a = '***'" in result
    assert f"{TOKEN}1" not in everything(events)


async def test_what_code_gets_is_masked_too(scene: Scene) -> None:
    (scene.workspace.roots[0] / "a.txt").write_text(f"{TOKEN}\n")
    scene.code_mode = True
    code = 'text = read_file(path="a.txt")\nprint(len(text), text)'
    events = await play(scene, use("run_code", code=code))
    assert TOKEN not in everything(events)
    assert "4 ***" in results(events)[-1]
