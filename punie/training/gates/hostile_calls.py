"""Calls with values that are hard to write and read back, for the round trip of gate zero."""

from dataclasses import dataclass
from typing import Any

from punie.models.mlx.chat.parser import MalformedCall, ToolCall
from punie.models.mlx.chat.values import same
from punie.models.mlx.chat_format import ChatFormat, ToolSpecification
from punie.training.data.sequences import asked_for

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "flag": {"type": "boolean"},
        "items": {"type": "array", "items": {"type": "string"}},
        "nested": {"type": "object"},
    },
}

TOOL = ToolSpecification("try_values", "Take any values.", _SCHEMA)
OTHER_TOOL = ToolSpecification("try_more", "Take any values too.", _SCHEMA)


@dataclass(frozen=True)
class Hostile:
    """Calls of one answer, and what is hard about them in a few words."""

    what: str
    calls: tuple[tuple[ToolSpecification, dict[str, Any]], ...]
    text: str = ""


def _one(what: str, **arguments: Any) -> Hostile:
    return Hostile(what, ((TOOL, arguments),))


HOSTILE: tuple[Hostile, ...] = (
    _one("plain words", text="src/app.py", count=3),
    _one("no arguments"),
    _one("quotes and backslashes", text='say "yes" or \'no\' \\n \\" \\'),
    _one("several lines", text="def main():\n    return 1\n\n\nmain()\n"),
    _one("spaces at both ends", text="  \tx \n"),
    _one("nothing", text=""),
    _one("other scripts and pictures", text="naïve Größe 你好 \U0001f9ff \u2028"),
    _one("words that look like values", text="null", items=["true", "5", "[]", '"x"']),
    _one("a number in words", text="1.10"),
    _one("JSON in a text", text='{"a": [1, "b"], "c": null}'),
    _one("nested values", nested={"a": {"b": [1, 2.5, None, True, "</parameter>"]}, "": []}),
    _one("numbers", count=-(2**63), share=1e-9, flag=False),
    _one("a closing tag in a text", text="a\n</parameter>\nb </function> c"),
    _one("markers in a text", text="<tool_call> <|im_end|> </tool_call> <think> [TOOL_CALLS]"),
    _one("a template in a text", text="{{ messages }} {% for x in y %}"),
    Hostile("two calls", ((TOOL, {"text": "a"}), (OTHER_TOOL, {"count": 2}))),
    Hostile("words before the call", ((TOOL, {"text": "a"}),), text="I look at it first."),
)


def lost_calls(chat_format: ChatFormat) -> list[str]:
    """Return what is hard about the calls that do not come back as they were, with what came.

    Each is rendered by the model's template as its own answer, decoded and parsed the way that an
    answer is. Raises `punie.models.mlx.chat.renderer.TemplateError`, and `TrainingError` if the
    template renders an answer in another way than it asks for it.
    """
    return [
        f"{case.what} ({trouble})"
        for case in HOSTILE
        if (trouble := _trouble(chat_format, case)) is not None
    ]


def _trouble(chat_format: ChatFormat, case: Hostile) -> str | None:
    tools = (TOOL, OTHER_TOOL)
    question = {"role": "user", "content": "Do it."}
    calls = [
        {"function": {"name": tool.name, "arguments": arguments}} for tool, arguments in case.calls
    ]
    answer = {"role": "assistant", "content": case.text, "tool_calls": calls}
    whole = chat_format.encode([question, answer], tools, generation_prompt=False).tokens
    prompt = asked_for(chat_format, [question, answer], tools, whole)
    written = whole[len(prompt.tokens) :]
    ends = [place for place, token in enumerate(written) if token in chat_format.stop_ids]
    parser = chat_format.parser(tools, in_thought=prompt.in_thought)
    decoder = chat_format.decoder()
    events = parser.feed(decoder.feed(written[: ends[-1]] if ends else written))
    events += parser.feed(decoder.finish())
    events += parser.finish()
    broken = [event.reason for event in events if isinstance(event, MalformedCall)]
    if broken:
        return broken[0].rstrip(".")
    came = [(event.name, event.arguments) for event in events if isinstance(event, ToolCall)]
    due = [(tool.name, arguments) for tool, arguments in case.calls]
    if len(came) != len(due):
        return f"{len(came)} of {len(due)} calls came back"
    for (name, arguments), (due_name, due_arguments) in zip(came, due, strict=True):
        if name != due_name or not same(arguments, due_arguments):
            return f"came back as {arguments!r}"[:120]
    return None
