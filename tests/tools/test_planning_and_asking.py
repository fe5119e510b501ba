from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from punie.tools.ask_user import ASK_USER
from punie.tools.base import (
    Answered,
    NotAnswered,
    PlanStep,
    Question,
    ToolContext,
    ToolError,
    ToolResult,
)
from punie.tools.catalog import ALL_TOOLS, UNATTENDED_TOOLS
from punie.tools.update_plan import UPDATE_PLAN
from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio


@pytest.fixture
def context(bench: Bench) -> ToolContext:
    return bench.context


async def plan(context: ToolContext, *steps: dict[str, Any]) -> tuple[ToolResult, list[PlanStep]]:
    shown: list[PlanStep] = []

    async def show(steps: Sequence[PlanStep]) -> None:
        shown.extend(steps)

    arguments = UPDATE_PLAN.arguments.model_validate({"steps": list(steps)})
    return await UPDATE_PLAN.run(replace(context, plan=show), arguments), shown


async def test_the_whole_plan_is_shown(context: ToolContext) -> None:
    result, shown = await plan(
        context,
        {"content": " Read ", "status": "completed"},
        {"content": "Write\nit", "status": "in_progress", "priority": "low"},
    )
    assert shown == [PlanStep("Read", "completed"), PlanStep("Write\nit", "in_progress", "low")]
    assert result.text == "plan shown: 1 of 2 done"
    assert (result.presentation.title, result.presentation.kind) == ("Plan: Write it", "think")


async def test_an_empty_plan_clears_it(context: ToolContext) -> None:
    result, shown = await plan(context)
    assert (result.text, shown) == ("plan cleared", [])


async def ask(
    context: ToolContext, reply: Answered | NotAnswered, **arguments: Any
) -> tuple[ToolResult, Question]:
    asked: list[Question] = []

    async def person(question: Question) -> Answered | NotAnswered:
        asked.append(question)
        return reply

    valid = ASK_USER.arguments.model_validate(arguments)
    result = await ASK_USER.run(replace(context, ask=person), valid)
    return result, asked[0]


async def test_the_answer_is_the_result(context: ToolContext) -> None:
    result, question = await ask(
        context, Answered("b"), question=" Which?\nWhy? ", choices=["a", " b", "a"]
    )
    assert question == Question("Which?\nWhy?", ("a", "b"))
    assert result.text == "the user answered: b"
    assert result.presentation.title == "Ask: Which? …"


async def test_one_choice_is_none(context: ToolContext) -> None:
    _, question = await ask(context, Answered("b"), question="Which?", choices=["only"])
    assert question.choices == ()


async def test_no_answer_is_an_error(context: ToolContext) -> None:
    with pytest.raises(ToolError, match="nobody there"):
        await ask(context, NotAnswered("nobody there"), question="Which?")


async def test_nobody_is_there_unless_somebody_is(context: ToolContext) -> None:
    arguments = ASK_USER.arguments.model_validate({"question": "Which?"})
    with pytest.raises(ToolError, match="end the turn with the question as your answer"):
        await ASK_USER.run(context, arguments)
    assert set(ALL_TOOLS) - set(UNATTENDED_TOOLS) == {ASK_USER}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"question": " "}, "the question is empty"),
        ({"question": "Which?", "choices": ["a", " "]}, "a choice is empty"),
        ({"question": "Which?", "choices": list("abcdefghi")}, "at most 8"),
        ({"question": "What is the root password?"}, "never ask for passwords"),
        ({"question": "Your API-key?", "choices": ["paste it"]}, "never ask for passwords"),
        ({"question": "Passwords, please"}, "never ask for passwords"),
    ],
)
async def test_questions_that_are_refused(
    context: ToolContext, arguments: dict[str, Any], reason: str
) -> None:
    valid = ASK_USER.arguments.model_validate(arguments)
    with pytest.raises(ToolError, match=reason):
        await ASK_USER.present(context, valid)


@pytest.mark.parametrize(
    "arguments",
    [
        {"question": "Where should the API key be kept?", "choices": ["env", "file"]},
        {"question": "Which compass direction?"},
        {"question": "What is the primary key of the table?"},
        {"question": "How many tokens may an answer have?"},
    ],
)
async def test_questions_that_only_sound_like_secrets(
    context: ToolContext, arguments: dict[str, Any]
) -> None:
    valid = ASK_USER.arguments.model_validate(arguments)
    assert (await ASK_USER.present(context, valid)).title.startswith("Ask: ")
