"""Commands inside and outside of the sandbox, in turns with the real tools."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from punie.agent.events import Mode, Notice, TurnEvent
from punie.agent.permissions.consulting import consult
from punie.agent.permissions.rules import ExactCommand, Rule, parse_command_pattern
from punie.agent.permissions.store import Permissions
from punie.tools.base import ReadLedger, ToolContext
from punie.tools.run_command import RUN_COMMAND, RunCommandArguments
from punie.workspace.base import Confinement
from punie.workspace.local import LocalWorkspace
from punie.workspace.sandbox import confining
from punie.workspace.sandbox.detect import NoSandbox, find_sandbox
from punie.workspace.sandbox.view import SandboxOptions, Wanted
from tests.agent.scene import Scene, play, results, use
from tests.agent.stage import scripted

pytestmark = pytest.mark.anyio

REASON = "bwrap: no user namespaces"


class Confined(Scene):
    async def wanting(self, wanted: Wanted) -> None:
        await self.workspace.aclose()
        self.workspace = LocalWorkspace(self.workspace.roots, SandboxOptions(wanted))

    @property
    def titles(self) -> list[str]:
        return [question.presentation.title for question in self.asked]


@pytest.fixture
async def confined(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Confined]:
    if isinstance(find_sandbox(), NoSandbox):
        pytest.skip("no sandbox works here")
    project = tmp_path / "project"
    project.mkdir()
    scene = Confined(
        scripted(lambda done, messages: ["nothing"]),
        mode="auto",
        workspace=LocalWorkspace([project], SandboxOptions()),
        permissions=Permissions(tmp_path / "config", project),
    )
    yield scene
    await scene.workspace.aclose()


def warnings(events: list[TurnEvent]) -> list[str]:
    return [each.text for each in events if isinstance(each, Notice) and each.severity == "warning"]


OUTSIDE = use("run_command", command="touch ../made; echo done", unsandboxed=True)
INSIDE = use("run_command", command="touch /etc/punie-made")


async def test_what_is_blocked_is_told_with_the_way_out(confined: Confined) -> None:
    events = await play(confined, INSIDE, use("run_command", command="false"))
    blocked, failed = results(events)
    assert blocked.endswith(
        "\n(the sandbox blocks writing to /etc/punie-made; "
        "if that is needed, call again with unsandboxed=true)"
    )
    assert failed == "exit code 1"
    assert confined.asked == []


async def test_auto_mode_lets_a_command_out_unless_the_user_wants_to_decide(
    confined: Confined,
) -> None:
    made = confined.workspace.roots[0].parent / "made"
    events = await play(confined, OUTSIDE)
    assert (confined.titles, results(events)) == ([], ["exit code 0\ndone"])
    assert made.exists()
    await confined.wanting("always")
    made.unlink()
    events = await play(confined, OUTSIDE, answer="reject_once")
    assert confined.titles == ["`touch ../made; echo done` outside the sandbox"]
    assert results(events) == ["error: the user did not allow this call"]
    assert not made.exists()


async def test_a_file_that_others_run_is_no_way_out_where_the_user_wants_to_decide(
    confined: Confined,
) -> None:
    hook = use("write_file", path=".git/hooks/post-checkout", content="touch ../made\n")
    plain = use("write_file", path="a.py", content="a = 1\n")
    await confined.wanting("always")
    events = await play(confined, hook, plain, answer="reject_once")
    assert confined.titles == ["Create .git/hooks/post-checkout"]
    assert results(events) == ["error: the user did not allow this call", "created a.py: 1 line"]
    await confined.wanting("on")
    await play(confined, hook)
    assert confined.titles == []


@pytest.mark.parametrize("mode", ["ask", "accept_edits"])
async def test_a_rule_that_allows_a_command_does_not_let_it_out(
    confined: Confined, mode: Mode
) -> None:
    confined.mode = mode
    confined.permissions.add([Rule("allow", "run_command", parse_command_pattern("echo *"))])
    inside = use("run_command", command="echo one")
    outside = use("run_command", command="echo one", unsandboxed=True)
    await play(confined, inside, outside, answer="reject_once")
    assert confined.titles == ["`echo one` outside the sandbox"]
    events = await play(confined, outside, outside, answer="allow_always")
    assert results(events) == ["exit code 0\none"] * 2
    assert confined.titles == ["`echo one` outside the sandbox"]
    stored = Rule("allow", "run_command", ExactCommand("echo one"), unsandboxed=True)
    assert confined.permissions.read().own[1:] == (stored,)
    # The words in front of "always" are what holds from now on.
    ((choice, *_),) = [
        [each for each in question.choices if each.id == "allow_always"]
        for question in confined.asked
    ]
    assert choice.name == "Always allow exactly `echo one` outside the sandbox"


async def test_no_pattern_is_offered_outside(confined: Confined) -> None:
    confined.mode = "ask"
    await play(
        confined, use("run_command", command="echo one", unsandboxed=True), answer="allow_once"
    )
    assert [choice.id for choice in confined.asked[0].choices] == [
        "allow_once",
        "allow_always",
        "reject_once",
        "reject_always",
    ]


async def test_what_is_forbidden_is_so_outside_too(confined: Confined) -> None:
    confined.permissions.add([Rule("deny", "run_command", parse_command_pattern("touch *"))])
    events = await play(confined, OUTSIDE)
    assert results(events)[0].startswith("error: a rule of the user forbids `touch *`")


async def test_plan_mode_lets_nothing_out(confined: Confined) -> None:
    confined.mode = "plan"
    confined.permissions.add(
        [Rule("allow", "run_command", parse_command_pattern("echo *"), unsandboxed=True)]
    )
    events = await play(confined, use("run_command", command="echo x", unsandboxed=True))
    assert results(events)[0].startswith("error: plan mode only allows reading")


async def test_without_a_sandbox_auto_mode_asks_and_says_why_once(
    confined: Confined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confining, "find_sandbox", lambda roots: NoSandbox(REASON))
    confined.permissions.add([Rule("allow", "run_command", parse_command_pattern("echo *"))])
    allowed = use("run_command", command="echo one")
    other = use("run_command", command="printf two")
    events = await play(confined, allowed, other, other, answer="allow_once")
    assert results(events) == ["exit code 0\none", "exit code 0\ntwo", "exit code 0\ntwo"]
    assert confined.titles == ["`printf two`"] * 2
    (warning,) = warnings(events)
    assert REASON in warning
    # Where there is none, nothing is outside of it.
    await play(confined, use("run_command", command="printf x", unsandboxed=True))
    assert confined.titles == ["`printf x`"]


async def test_off_is_as_it_was(confined: Confined) -> None:
    await confined.wanting("off")
    events = await play(confined, use("run_command", command="touch ../made", unsandboxed=True))
    assert (confined.asked, results(events)) == ([], ["exit code 0"])
    confined.mode = "ask"
    await play(
        confined, use("run_command", command="printf x", unsandboxed=True), answer="allow_once"
    )
    assert confined.titles == ["`printf x`"]


async def test_only_commands_are_consulted_about_the_sandbox(confined: Confined) -> None:
    await confined.wanting("always")
    consulted = await consult(
        None, confined.workspace, RUN_COMMAND, RunCommandArguments(command="x", unsandboxed=True)
    )
    assert consulted.unconfined
    inside = replace(consulted, unconfined=False)
    assert inside == await consult(
        None, confined.workspace, RUN_COMMAND, RunCommandArguments(command="x")
    )


async def test_background_commands_say_it_too(confined: Confined) -> None:
    events = await play(
        confined, use("run_command", command="touch /etc/punie-made", background=True)
    )
    assert "(the sandbox blocks writing to /etc/punie-made; " in results(events)[0]


async def test_code_reads_it_in_the_output(confined: Confined) -> None:
    context = ToolContext(confined.workspace, ReadLedger())
    result = await RUN_COMMAND.run(context, RunCommandArguments(command="touch /etc/punie-made"))
    assert isinstance(result.data, dict)
    assert "the sandbox blocks writing to /etc/punie-made" in str(result.data["output"])


def test_what_is_active() -> None:
    assert Confinement("on").active
    assert not Confinement("on", REASON).active
    assert not Confinement("off").active
