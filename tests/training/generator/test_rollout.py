"""What is trained is what is served: a generated conversation is the product's own turn."""

from pathlib import Path
from random import Random

import pytest

from punie.agent.cancel import CancelSignal
from punie.agent.events import PermissionAsked, PromptText, TurnEvent, UserMessage
from punie.agent.journal import PastTurns
from punie.agent.policy import DENIED
from punie.agent.turn import run_turn
from punie.agent.turn_config import TurnConfig, turn_tools
from punie.models.scripted import Script, ScriptedCall, ScriptedModel, ScriptedResponse
from punie.tools.base import ReadLedger
from punie.training.data.example import Message
from punie.training.data.served import messages_after
from punie.training.generator import answers
from punie.training.generator.families import CODE_FAMILIES, DIRECT_FAMILIES, FAMILIES
from punie.training.generator.names import Names
from punie.training.generator.packages import make_package
from punie.training.generator.presets import preset
from punie.training.generator.projects import Project
from punie.training.generator.rollout import Conversation, Transcript
from punie.training.generator.shards import fault_of, offered_tools
from punie.training.generator.tasks import Task, TaskMaker
from punie.workspace.local import LocalWorkspace

pytestmark = pytest.mark.anyio

TINY = preset("tiny")


def posed(family: str, seed: int = 0) -> tuple[Project, Task]:
    while True:
        rng = Random(seed)
        project = (TINY if family in TINY.weights else preset("coder")).project(rng)
        task = FAMILIES[family](TaskMaker(rng, Names(rng), project))
        if task is not None:
            return project, task
        seed += 1


async def played(root: Path, project: Project, task: Task, **more: bool) -> Conversation:
    project.write(root, task.before)
    workspace = LocalWorkspace([root])
    conversation = Conversation(workspace, offered_tools(code=task.code), TINY.limits)
    done = await conversation.follow(task.teacher(), task.prompt, **more)
    await workspace.aclose()
    assert fault_of(task, done, project, root, denied=more.get("deny", False)) == ""
    return conversation


async def replayed(
    root: Path, project: Project, messages: list[Message], *, code: bool
) -> list[Message]:
    """Let a scripted model say the same in a turn of the product, with its own settings."""
    responses = tuple(
        ScriptedResponse(
            text=message.content,
            calls=tuple(
                ScriptedCall(tool=call.function.name, arguments=call.function.arguments)
                for call in message.tool_calls
            ),
        )
        for message in messages
        if message.role == "assistant"
    )
    project.write(root)
    events: list[TurnEvent] = []

    async def emit(event: TurnEvent) -> None:
        events.append(event)

    async def ask(question: PermissionAsked) -> str | None:
        raise AssertionError("nothing is asked")

    workspace = LocalWorkspace([root])
    config = TurnConfig(
        model=ScriptedModel(Script(responses=responses)),
        workspace=workspace,
        reads=ReadLedger(),
        tools=turn_tools((), attended=True, code_mode=code),
        mode=lambda: "auto",
        limits=TINY.limits,
        check_edits="whole",
    )
    text = messages[0].content
    message = UserMessage(message_id="m", blocks=(PromptText(text=text),), text=text)
    await run_turn(config, message, PastTurns(), emit=emit, ask=ask, cancel=CancelSignal())
    await workspace.aclose()
    return messages_after(events)


@pytest.mark.parametrize(
    "family", ["greeting", "set", "read", "rename", "code_set", "code_wrong_path", "missing_import"]
)
async def test_a_turn_of_the_product_gives_the_same_messages(tmp_path: Path, family: str) -> None:
    project, task = posed(family)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    conversation = await played(tmp_path / "a", project, task)
    messages = messages_after(conversation.events)
    assert await replayed(tmp_path / "b", project, messages, code=task.code) == messages
    assert (messages[0].role, messages[-1].role) == ("user", "assistant")


async def test_every_family_comes_to_what_is_due(tmp_path: Path) -> None:
    for family in TINY.weights:
        await played(tmp_path, *posed(family, 10))


async def test_every_family_for_real_models_does_too(tmp_path: Path) -> None:
    rng = Random(5)
    names = Names(rng)
    package = make_package(rng)
    package.write(tmp_path)
    workspace = LocalWorkspace([tmp_path])
    told = Transcript((), "Done.")
    try:
        for family in preset("coder").weights:
            if family in TINY.weights:
                continue
            tools = offered_tools(code=family in CODE_FAMILIES)
            conversation = Conversation(workspace, tools, preset("coder").limits)
            maker = TaskMaker(rng, names, package, past=(told,))
            task = next(each for _ in range(20) if (each := FAMILIES[family](maker)) is not None)
            package.write(tmp_path, task.before)
            done = await conversation.follow(task.teacher(), task.prompt)
            assert fault_of(task, done, package, tmp_path, denied=False) == "", family
            assert bool(done.calls) == (family not in DIRECT_FAMILIES)
    finally:
        await workspace.aclose()


async def test_a_denied_call_changes_nothing_and_is_told(tmp_path: Path) -> None:
    project, task = posed("write")
    conversation = await played(tmp_path, project, task, deny=True)
    messages = messages_after(conversation.events)
    assert messages[-2].content == DENIED
    assert messages[-1].content == answers.DENIED


async def test_what_an_edit_brought_in_is_taken_up(tmp_path: Path) -> None:
    project = Project({"a.py": "LIMIT = 3\nprint(LIMIT)\n"})
    task = Task(
        "replace",
        "Replace print(LIMIT) with print(WIDTH) in a.py",
        lambda: answers.edit("a.py", [("print(LIMIT)", "print(WIDTH)")]),
        wanted={"a.py": "LIMIT = 3\nprint(WIDTH)\n"},
    )
    conversation = await played(tmp_path, project, task)
    messages = messages_after(conversation.events)
    assert "a.py:2 F821: Undefined name `WIDTH`" in messages[-2].content
    assert messages[-1].content == (
        "Done: `a.py` now has `print(WIDTH)`. New problem: line 2, F821: Undefined name `WIDTH`."
    )


async def test_an_outcome_that_is_not_due_is_noticed(tmp_path: Path) -> None:
    project, task = posed("write")
    workspace = LocalWorkspace([tmp_path])
    tools = turn_tools((), attended=True, code_mode=False)
    done = await Conversation(workspace, tools, TINY.limits).follow(task.teacher(), task.prompt)
    await workspace.aclose()
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or str(path.relative_to(tmp_path)) in (task.wanted or {})
    assert "files" in fault_of(task, done, project, tmp_path, denied=False)
    project.write(tmp_path)
    assert "files" in fault_of(task, done, project, tmp_path, denied=False)
    later = Task("talk", "", task.teacher)
    changed = {"new.py": "", **dict.fromkeys(project.modules[:1], "x = 1\n")}
    project.write(tmp_path, changed)
    assert fault_of(later, done, project, tmp_path, before=changed) == ""
    assert "files" in fault_of(later, done, project, tmp_path)
    silent = Task(task.kind, task.prompt, task.teacher, wanted=None, says=("never said",))
    assert "answer" in fault_of(silent, done, project, tmp_path, denied=False)
