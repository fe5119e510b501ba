"""What a prompt begins with was read before the prompt came, as its usage tells."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.client import Json
from tests.e2e.engine.conftest import RunModel
from tests.e2e.engine.models import Models
from tests.models.families import Family

NEW = 40
"""Tokens; a short prompt with what the template puts around it has fewer."""


def unread(usage: Json) -> int:
    return int(usage["input_tokens"]) - int(usage["cached_tokens"])


@pytest.mark.parametrize("family", ["qwen3", "qwen3_next"])
def test_the_system_prompt_is_read_as_soon_as_a_session_is_open(
    run_model: RunModel,
    models: Models,
    project: Path,
    read_ahead: Callable[[str, int], None],
    usages: Callable[[str], list[Json]],
    family: Family,
) -> None:
    client = run_model(models.random(family, "json"))
    first = client.new_session(project)
    read_ahead(first, 1)
    assert client.prompt(first, "Good morning") == "max_tokens"
    (usage,) = usages(first)
    assert usage["cached_tokens"] > 2_000
    assert unread(usage) < NEW
    # What one session's instructions and tools cost is not paid by the next one.
    second = client.new_session(project)
    assert client.prompt(second, "Good evening") == "max_tokens"
    (usage,) = usages(second)
    assert usage["cached_tokens"] > 2_000
    assert unread(usage) < NEW


@pytest.mark.parametrize("family", ["qwen3", "qwen3_next"])
def test_after_a_turn_whose_thoughts_are_dropped_the_conversation_is_read_again(
    run_model: RunModel,
    models: Models,
    project: Path,
    read_ahead: Callable[[str, int], None],
    usages: Callable[[str], list[Json]],
    family: Family,
) -> None:
    client = run_model(models.random(family, "strip"))
    session = client.new_session(project)
    for turn in range(3):
        read_ahead(session, turn + 1)
        assert client.prompt(session, "Think about this") == "max_tokens"
        assert client.updates(session, "agent_thought_chunk")
        # The answer alone is longer than what is read anew.
        assert unread(usages(session)[turn]) < NEW
    assert usages(session)[2]["output_tokens"] > 2 * NEW


def test_the_effort_that_stands_in_the_prompt_is_read_as_it_will_be(
    run_model: RunModel,
    models: Models,
    project: Path,
    read_ahead: Callable[[str, int], None],
    usages: Callable[[str], list[Json]],
) -> None:
    model = models.copy(models.random("qwen3", "strip"), "graded")
    template = (model / "chat_template.jinja").read_text()
    head, mark, rest = template.partition("{{- '<|im_start|>system\\n' }}")
    effort = """{%- if reasoning_effort == 'low' %}{{- 'Be quick. ' }}{%- endif %}
    {%- if reasoning_effort == 'high' %}{{- 'Take your time. ' }}{%- endif %}"""
    assert rest
    (model / "chat_template.jinja").write_text(head + mark + effort + rest)
    client = run_model(model)
    session = client.new_session(project)
    read_ahead(session, 1)
    option = {"sessionId": session, "configId": "thought_level", "value": "low"}
    client.request("session/set_config_option", option)
    read_ahead(session, 2)  # The prompt is another one from its beginning.
    for turn in range(2):
        assert client.prompt(session, "Think about this") == "max_tokens"
        assert unread(usages(session)[turn]) < NEW
        read_ahead(session, turn + 3)
