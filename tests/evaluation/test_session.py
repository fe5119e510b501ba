"""An item at work: prompts, permission, compaction, a restart, a limit, and what is kept of it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from punie.evaluation.session import Conditions, passes_tests, work_on
from punie.evaluation.suite import Action, Compact, Item, Needs, Reload, Say, Verdict
from punie.evaluation.work import Work
from punie.models.scripted import Script, ScriptedModel
from punie.training.data.example import Function
from punie.training.generator.shards import command_environment
from punie.workspace.sandbox.detect import NoSandbox, find_sandbox

pytestmark = pytest.mark.anyio

LONG = "\n".join(f"line {number} of a long file" for number in range(40))


Response = dict[str, object]


def scripted(*responses: Response) -> ScriptedModel:
    return ScriptedModel(Script.model_validate_json(json.dumps({"responses": responses})))


def says(text: str, delay: float = 0) -> Response:
    return {"text": text, "delay": delay}


def call(tool: str, **arguments: object) -> Response:
    return {"calls": [{"tool": tool, "arguments": arguments}]}


async def no_verdict(work: Work, root: Path) -> Verdict:
    raise AssertionError("nobody judges here")


def prepare(root: Path) -> None:
    (root / "a.py").write_text("x = 1\n")
    (root / "long.txt").write_text(LONG)


def item(*actions: Action, **more: object) -> Item:
    usual: dict[str, object] = {"prepare": prepare, "judge": no_verdict}
    return Item("one", "kind", actions, **(usual | more))  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    prepare(project)
    return project


async def work(root: Path, responses: Sequence[Response], *actions: Action, **more: object) -> Work:
    return await work_on(item(*actions, **more), scripted(*responses), root)


async def test_calls_are_kept_with_what_came_of_them(root: Path) -> None:
    edit = call("write_file", path=str(root / "b.py"), content="y = 2\n")
    responses = [edit, call("read_file", path="none.py"), call("sing"), says("Done.")]
    done = await work(root, responses, Say("Go on"))
    assert [(each.call.name, each.ran, each.failed) for each in done.executed] == [
        ("write_file", True, False),
        ("read_file", True, True),
        ("sing", False, False),
    ]
    assert done.executed[0].call.arguments["path"] == "/project/b.py"
    assert done.calls[0].arguments["path"] == "/project/b.py"
    assert str(root) not in "".join(message.content for message in done.messages)
    assert done.files["b.py"] == b"y = 2\n"
    assert (done.answer, done.stop, done.trouble) == ("Done.", "end_turn", "")
    assert (done.requests, done.not_run, len(done.first_token_seconds)) == (4, 1, 4)
    assert done.read_tokens > 0
    assert done.seconds >= max(done.first_token_seconds)


async def test_what_the_person_answers_decides(root: Path) -> None:
    asked: list[Function] = []

    def refuses(function: Function) -> bool:
        asked.append(function)
        return False

    responses = [call("write_file", path="b.py", content="y = 2\n"), says("Done.")]
    done = await work(root, responses, Say("Go on"), mode="ask", allows=refuses)
    assert [function.name for function in asked] == ["write_file"]
    assert "b.py" not in done.files
    assert (done.executed[0].ran, done.not_run) == (False, 1)
    edited = await work(root, responses, Say("Go on"), allows=refuses)
    assert edited.executed[0].ran
    planned = await work(root, responses, Say("Go on"), mode="plan")
    assert "plan mode" in planned.executed[0].result


async def test_nothing_leaves_the_sandbox_unless_the_item_says_so(root: Path) -> None:
    mark = root.parent / "mark"
    responses = [
        call("run_command", command=f"echo out > {mark}", unsandboxed=True),
        call("write_file", path=".git/hooks/pre-commit", content="#!/bin/sh\n"),
        says("Done."),
    ]
    done = await work(root, responses, Say("Go on"))
    assert [each.ran for each in done.executed] == [False, False]
    assert not mark.exists()
    await work(root, responses, Say("Go on"), unconfined=lambda function: True)
    assert mark.read_text() == "out\n"


async def test_a_conversation_is_compacted_and_reopened(root: Path) -> None:
    responses = [
        call("read_file", path="long.txt"),
        says("It is long."),
        says("Still here."),
        call("read_file", path="a.py"),
        says("One."),
    ]
    actions = (Say("Read long.txt"), Say("Are you there?"), Compact(), Reload(), Say("And a.py?"))
    model = scripted(*responses)
    seen = model.request_stream
    sizes: list[str] = []

    def watch(messages: list[object], *rest: object) -> object:
        sizes.append(str(messages))
        return seen(messages, *rest)  # type: ignore[arg-type]

    model.request_stream = watch  # type: ignore[method-assign, assignment]
    done = await work_on(item(*actions), model, root)
    assert "line 7 of a long file" in sizes[2]
    assert "line 7 of a long file" not in sizes[3]
    assert "Are you there?" in sizes[3]
    prompts = [message.content for message in done.messages if message.role == "user"]
    assert prompts == ["Read long.txt", "Are you there?", "And a.py?"]
    assert any("line 7 of a long file" in message.content for message in done.messages)
    assert done.answer == "One."
    assert (done.requests, len(done.executed)) == (5, 2)


async def test_what_is_said_next_may_depend_on_the_work(root: Path) -> None:
    async def more(work: Work, root: Path) -> Say | None:
        answers = [message for message in work.messages if message.role == "assistant"]
        return None if len(answers) > 2 else Say(f"Once more: {len(answers)}")

    responses = [says(f"answer {number}") for number in range(9)]
    done = await work(root, responses, Say("Go on"), more=more)
    prompts = [message.content for message in done.messages if message.role == "user"]
    assert prompts == ["Go on", "Once more: 1", "Once more: 2"]


async def test_an_item_that_hangs_ends(root: Path) -> None:
    slow = [call("read_file", path="a.py"), says("At last", delay=60)]
    done = await work(root, slow, Say("Go on"), needs=Needs(seconds=0.3))
    assert done.trouble == "It was not done after 0.3 seconds."
    assert done.stop == "cancelled"
    assert [each.call.name for each in done.executed] == ["read_file"]
    assert not done.model_failed
    shorter = Conditions(seconds=0.2)
    model = scripted(says("At last", delay=60))
    assert "0.2 seconds" in (await work_on(item(Say("Go on")), model, root, shorter)).trouble


async def test_a_model_that_breaks_is_the_trouble(root: Path) -> None:
    model = scripted()

    def fail(*given: object) -> object:
        raise RuntimeError("out of order")

    model.request_stream = fail  # type: ignore[method-assign, assignment]
    done = await work_on(item(Say("Go on")), model, root)
    assert done.model_failed
    assert done.trouble == "The model failed: out of order"
    assert done.answer == ""


@pytest.mark.skipif(isinstance(find_sandbox(), NoSandbox), reason="there is no sandbox here")
@pytest.mark.parametrize(
    ("code", "passes"),
    [
        ("VALUE = 2\n", True),
        ("VALUE = 1\n", False),
        ("import os\nos._exit(0)\n", False),
        ("import pytest\npytest.skip('later', allow_module_level=True)\n", False),
    ],
    ids=["right", "wrong", "ends", "skips"],
)
async def test_code_that_ends_its_tests_has_not_passed(
    tmp_path: Path, code: str, passes: bool
) -> None:
    (tmp_path / "value.py").write_text(code)
    (tmp_path / "test_value.py").write_text(
        "from value import VALUE\n\ndef test_value():\n    assert VALUE == 2\n"
    )
    with command_environment():
        assert await passes_tests(tmp_path) is passes
