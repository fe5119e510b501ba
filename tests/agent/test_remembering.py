"""Answers for good, in turns with the real tools on a real folder."""

from typing import Any

import pytest

from punie.agent.cancel import CancelSignal
from punie.agent.direct_call import run_direct_call
from punie.agent.events import Notice, PermissionAnswered, ToolFinished, TurnEvent
from punie.agent.permissions.store import Permissions
from punie.tools.base import ReadLedger, ToolContext
from punie.tools.presentation import TextContent
from punie.tools.write_file import WRITE_FILE
from tests.agent.scene import Scene, play, results, use
from tests.agent.stage import Piece

pytestmark = pytest.mark.anyio


def notices(events: list[TurnEvent]) -> list[tuple[str, str]]:
    return [(event.severity, event.text) for event in events if isinstance(event, Notice)]


def rules(scene: Scene) -> list[str]:
    return [str(rule) for rule in scene.permissions.read().all]


ECHO = use("run_command", command="echo hi")


async def test_once_is_asked_about_again(scene: Scene) -> None:
    events = await play(scene, ECHO, ECHO, answer="allow_once")
    assert len(scene.asked) == 2
    assert notices(events) == []
    assert rules(scene) == []


async def test_exactly_this_is_stored_before_it_runs(scene: Scene) -> None:
    path = scene.permissions.path
    stored = use("run_command", command=f"cat {path}")
    events = await play(scene, stored, stored, answer="allow_always")
    assert len(scene.asked) == 1
    first, second = results(events)
    assert f'line = "cat {path}"' in first
    assert first == second
    ((severity, text),) = notices(events)
    assert severity == "info"
    assert text.startswith("Remembered: allow `cat ")
    assert text.endswith("`; `punie permissions` lists and revokes it.")
    await play(scene, use("run_command", command=f"cat {path} "), answer="reject_once")
    assert len(scene.asked) == 1


async def test_the_pattern_reaches_other_arguments(scene: Scene) -> None:
    events = await play(scene, ECHO, answer="allow_always_pattern")
    assert rules(scene) == ["allow `echo *`"]
    assert notices(events) == [
        ("info", "Remembered: allow `echo *`; `punie permissions` lists and revokes it.")
    ]
    await play(scene, use("run_command", command="echo other && echo more"), answer="reject_once")
    assert scene.asked == []
    events = await play(scene, use("run_command", command="echo x; touch y"))
    assert len(scene.asked) == 1
    assert not (scene.workspace.roots[0] / "y").exists()


async def test_never_is_never_in_auto_mode_too(scene: Scene) -> None:
    events = await play(scene, ECHO, answer="reject_always")
    forbidden = "error: a rule of the user forbids `echo *`; do not try it another way"
    assert results(events)[0].startswith(forbidden)
    assert [event.allowed for event in events if isinstance(event, PermissionAnswered)] == [False]
    scene.mode = "auto"
    events = await play(scene, use("run_command", command="true; echo x"))
    assert scene.asked == []
    assert results(events)[0].startswith(forbidden)


async def test_an_answer_that_was_not_offered_is_no(scene: Scene) -> None:
    events = await play(
        scene, use("run_command", command="rm -rf src"), answer="allow_always_pattern"
    )
    assert results(events) == ["error: the user did not allow this call"]
    assert rules(scene) == []


async def test_edits_of_a_file_and_of_its_folder(scene: Scene) -> None:
    def write(path: str) -> list[Piece]:
        return use("write_file", path=path, content="x")

    await play(scene, write("src/a.py"), write("src/a.py"), answer="allow_always")
    assert len(scene.asked) == 1
    await play(scene, write("src/b.py"), answer="allow_always_pattern")
    assert rules(scene) == ["allow edits of `src/a.py`", "allow edits in `src/**`"]
    edit = use("edit_file", path="src/c.py", edits=[{"old_text": "x", "new_text": "y"}])
    await play(scene, write("src/c.py"), edit, answer="reject_once")
    assert scene.asked == []
    assert (scene.workspace.roots[0] / "src" / "c.py").read_text() == "y"
    await play(scene, write("other.py"), write("src/../.git/config"))
    assert len(scene.asked) == 2


async def test_a_server_s_tool_by_arguments_and_whole(scene: Scene) -> None:
    await play(scene, use("post_send", to="a"), use("post_send", to="b"), answer="allow_always")
    assert len(scene.asked) == 2
    await play(scene, use("post_send", to="a"), answer="reject_once")
    assert scene.asked == []
    await play(scene, use("post_send", to="c"), answer="allow_always_pattern")
    await play(scene, use("post_send", to="d"), answer="reject_once")
    assert scene.asked == []
    assert rules(scene) == [
        'allow `post_send` with exactly {"to": "a"}',
        'allow `post_send` with exactly {"to": "b"}',
        "allow `post_send`",
    ]


async def test_plan_mode_changes_nothing_whatever_is_allowed(scene: Scene) -> None:
    await play(scene, use("run_command", command="touch x"), answer="allow_always")
    (scene.workspace.roots[0] / "x").unlink()
    scene.mode = "plan"
    events = await play(scene, use("run_command", command="touch x"))
    assert results(events)[0].startswith("error: plan mode only allows reading")
    assert not (scene.workspace.roots[0] / "x").exists()


@pytest.mark.parametrize("mode", ["ask", "accept_edits", "plan", "auto"])
async def test_broken_rules_stop_all_but_reading_in_every_mode(scene: Scene, mode: Any) -> None:
    scene.mode = mode
    scene.permissions.path.parent.mkdir(parents=True)
    scene.permissions.path.write_text("[[rules]]\n")
    sentence = f'{scene.permissions.path}, line 1: decision must be "allow" or "deny".'
    write = use("write_file", path="x", content="x")
    events = await play(scene, write, ECHO, use("list_dir"))
    assert scene.asked == []
    refused = f"error: only reading is possible until the user corrects this: {sentence}"
    assert results(events) == [refused, refused, "src/"]
    assert notices(events) == [
        ("error", f"Nothing but reading runs until this is corrected: {sentence}")
    ]
    scene.permissions.path.write_text("")
    events = await play(scene, use("list_dir"))
    assert notices(events) == []


async def test_what_cannot_be_stored_holds_once(scene: Scene) -> None:
    scene.permissions.config_dir.write_text("a file is in the way")
    events = await play(scene, ECHO, ECHO, answer="allow_always")
    assert results(events) == ["exit code 0\nhi"] * 2
    assert len(scene.asked) == 2
    severity, text = notices(events)[0]
    assert severity == "warning"
    assert text.startswith("Your answer holds for this call only and was not remembered: ")
    assert str(scene.permissions.path) in text


async def test_what_is_revoked_is_asked_about_at_once(scene: Scene) -> None:
    await play(scene, ECHO, answer="allow_always_pattern")

    def revoke(event: TurnEvent) -> None:
        if isinstance(event, ToolFinished) and rules(scene):
            Permissions(scene.permissions.config_dir, scene.permissions.project).revoke([1])

    scene.on_event = revoke
    await play(scene, ECHO, ECHO, answer="reject_once")
    assert len(scene.asked) == 1


async def test_accepting_edits_does_not_reach_what_git_and_the_ide_run(scene: Scene) -> None:
    scene.mode = "accept_edits"
    await play(
        scene,
        use("write_file", path=".git/config", content="x"),
        use("write_file", path="src/x", content="x"),
        answer="reject_once",
    )
    assert len(scene.asked) == 1
    assert not (scene.workspace.roots[0] / ".git" / "config").exists()
    assert (scene.workspace.roots[0] / "src" / "x").exists()


async def test_the_question_shows_the_whole_command(scene: Scene) -> None:
    command = f"echo {'x' * 300}\nrm -rf src"
    await play(scene, use("run_command", command=command), answer="reject_once")
    (content,) = scene.asked[0].presentation.content
    assert isinstance(content, TextContent)
    assert command in content.text


async def test_calls_of_commands_follow_the_rules_too(scene: Scene) -> None:
    async def write(answer: str) -> str | None:
        scene.answer = answer
        return await run_direct_call(
            WRITE_FILE,
            {"path": "src/x", "content": "x"},
            ToolContext(workspace=scene.workspace, reads=ReadLedger()),
            mode=lambda: scene.mode,
            emit=scene.emit,
            ask=scene.ask,
            permissions=scene.permissions,
            cancel=CancelSignal(),
        )

    assert await write("allow_always") == "created src/x: 1 line"
    assert await write("reject_once") == "replaced src/x: 1 line"
    assert len(scene.asked) == 1
