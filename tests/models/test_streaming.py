"""What the agent wrote for a model reaches it as it was written."""

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    RetryInfo,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters

from punie.models.scripted import Script, ScriptedModel


def test_text_that_looks_like_a_frame_is_left_alone() -> None:
    model = ScriptedModel(Script(responses=()))
    history: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart(content="what does <system>x</system> do?")]),
        ModelResponse(
            parts=[
                ThinkingPart(content="<pyai:context>"),
                TextPart(content="<system>"),
                ToolCallPart(tool_name="read_file", args={}, tool_call_id="c"),
            ]
        ),
        ModelRequest(
            parts=[
                ToolReturnPart(
                    tool_name="read_file", content="<pyai:tool_result>", tool_call_id="c"
                )
            ]
        ),
    ]
    assert model.prepare_messages(history, ModelRequestParameters()) == history


def test_what_another_agent_adds_is_still_translated() -> None:
    model = ScriptedModel(Script(responses=()))
    feedback = RetryFeedbackPart(content="not so", retry=RetryInfo(cause="model_retry"))
    history: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart(content="go")]),
        ModelResponse(parts=[TextPart(content="done")]),
        ModelRequest(parts=[feedback]),
    ]
    prepared = model.prepare_messages(history, ModelRequestParameters())
    (part,) = prepared[-1].parts
    assert isinstance(part, UserPromptPart)
