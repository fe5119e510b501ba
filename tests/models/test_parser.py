import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from punie.models.mlx.chat.parser import (
    AnswerText,
    CallSyntax,
    MalformedCall,
    ResponseParser,
    ThoughtText,
    ToolCall,
)
from tests.models.token_splits import Outcome, outcome, parse_in_every_cut

SCHEMAS: dict[str, dict[str, Any]] = {
    "write_file": {
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
        "required": ["path", "content"],
    },
    "read_file": {
        "properties": {
            "path": {"type": "string"},
            "start_line": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "glob": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "regex": {"type": "boolean"},
            "timeout": {"type": "number"},
            "edits": {"type": "array", "items": {"$ref": "#/$defs/Edit"}},
            "options": {"$ref": "#/$defs/Options"},
            "level": {"enum": [1, 2, 3]},
            "mode": {"enum": ["a", "1"]},
            "either": {"type": ["integer", "boolean"]},
        },
        "$defs": {
            "Edit": {"type": "object", "properties": {"old_text": {"type": "string"}}},
            "Options": {"allOf": [{"$ref": "#/$defs/Edit"}]},
            "Loop": {"$ref": "#/$defs/Loop"},
        },
    },
    "nothing": {},
}


def parse(text: str, syntax: CallSyntax = "xml", *, in_thought: bool = False) -> list[Outcome]:
    return parse_in_every_cut(lambda: ResponseParser(SCHEMAS, syntax, in_thought=in_thought), text)


def call(name: str, **values: str) -> str:
    parameters = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in values.items())
    return f"<tool_call>\n<function={name}>\n{parameters}</function>\n</tool_call>"


def one_call(text: str, syntax: CallSyntax = "xml") -> dict[str, Any]:
    events = parse(text, syntax)
    assert len(events) == 1
    assert isinstance(events[0], ToolCall), events
    return events[0].arguments


def test_text_thought_and_call_in_order() -> None:
    text = "<think>\nHmm, let me look.\n</think>\n\nI read it.\n\n" + call("read_file", path="a.py")
    assert parse(text) == [
        ThoughtText("Hmm, let me look."),
        AnswerText("I read it."),
        ToolCall("read_file", {"path": "a.py"}),
    ]


def test_prompt_that_ends_inside_a_thought() -> None:
    assert parse("Hm.\n</think>\n\nYes.", in_thought=True) == [
        ThoughtText("Hm."),
        AnswerText("Yes."),
    ]
    assert parse("never closed", in_thought=True) == [ThoughtText("never closed")]


def test_text_streams_before_it_ends() -> None:
    parser = ResponseParser(SCHEMAS, "xml")
    assert parser.feed("Hello wor") == [AnswerText("Hello wor")]
    assert parser.feed("ld <") == [AnswerText("ld")]
    assert parser.feed("b> ") == [AnswerText(" <b>")]
    assert parser.feed("done") == [AnswerText(" done")]
    assert parser.finish() == []


def test_several_calls_in_one_response() -> None:
    text = call("read_file", path="a") + "\n" + call("read_file", path="b") + "\n\nBoth."
    assert parse(text) == [
        ToolCall("read_file", {"path": "a"}),
        ToolCall("read_file", {"path": "b"}),
        AnswerText("Both."),
    ]


def test_values_keep_inner_newlines_and_lose_exactly_one_at_each_end() -> None:
    arguments = one_call(call("write_file", path="a", content="\n\n  x\n\ny\n\n"))
    assert arguments["content"] == "\n\n  x\n\ny\n\n"
    inline = "<tool_call><function=write_file><parameter=path>a</parameter></function></tool_call>"
    assert one_call(inline) == {"path": "a"}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("path", "null", "null"),
        ("path", "5", "5"),
        ("path", "true", "true"),
        ("path", '["a"]', '["a"]'),
        ("glob", "null", None),
        ("glob", "*.py", "*.py"),
        ("start_line", "12", 12),
        ("start_line", " 12 ", 12),
        ("start_line", "12.0", 12),
        ("start_line", "null", None),
        ("start_line", "None", None),
        ("start_line", "twelve", "twelve"),
        ("start_line", "true", "true"),
        ("regex", "true", True),
        ("regex", "False", False),
        ("regex", "yes", "yes"),
        ("timeout", "1.5", 1.5),
        ("timeout", "2", 2),
        ("timeout", "NaN", "NaN"),
        ("edits", '[{"old_text": "a\\nb"}]', [{"old_text": "a\nb"}]),
        ("edits", "[{'old_text': 'it'}]", [{"old_text": "it"}]),
        ("edits", "[{broken", "[{broken"),
        ("options", '{"old_text": "x"}', {"old_text": "x"}),
        ("level", "2", 2),
        ("mode", "1", "1"),
        ("either", "false", False),
        ("unheard_of", "[1]", [1]),
        ("unheard_of", "plain words", "plain words"),
    ],
)
def test_values_are_typed_by_the_schema(key: str, text: str, value: Any) -> None:
    found = one_call(call("read_file", **{key: text}))[key]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "content",
    [
        "print('</parameter>')",
        "</parameter>",
        "a\n</parameter>\nb",
        "x </parameter>\n</parameter>",
        "<parameter=path>",
        "if '<parameter=' in text: pass",
        "</function>",
        "</tool_call>",
        "<tool_call>",
        "<function=read_file>",
        "</function>\n</tool_call>\n",
        "<think>no</think>",
    ],
)
def test_markup_inside_a_value_stays_in_the_value(content: str) -> None:
    text = call("write_file", path="a", content=content)
    assert parse(text) == [ToolCall("write_file", {"path": "a", "content": content})]


def test_bare_function_without_tool_call_is_accepted() -> None:
    bare = call("read_file", path="a").removeprefix("<tool_call>\n")
    for text in (bare, bare.removesuffix("\n</tool_call>"), "\n" + bare):
        assert parse(text) == [ToolCall("read_file", {"path": "a"})]
    assert parse("I look.\n" + bare) == [
        AnswerText("I look."),
        ToolCall("read_file", {"path": "a"}),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Write `<function=read_file>` to call it.",
        "<function=unknown>\nfoo",
        "a < b and <func> and <functionality=3",
        "The tag <think> opens, </think> closes.",
        "x </tool_call> y",
        "1 <",
        "<function=",
        "<function=" + "a" * 300,
    ],
)
def test_prose_about_markup_is_prose(text: str) -> None:
    assert parse(text) == [AnswerText(text)]


def test_bare_function_is_prose_in_the_json_format() -> None:
    text = "<function=read_file>\n<parameter=path>\na\n</parameter>\n</function>"
    assert parse(text, "json") == [AnswerText(text)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("<tool_call>", None),
        ("<tool_call>\n<func", None),
        ("<tool_call>\n<function=write_file", "write_file"),
        ("<tool_call>\n<function=write_file>\n<parameter=content>\nlong te", "write_file"),
        ("<tool_call>\n<function=write_file>\n<parameter=path>\na\n</parameter>\n", "write_file"),
        ('<tool_call>\n{"name": "write_file", "arguments": {"path": "a', "write_file"),
        ("<function=write_file>\n<parameter=path>\na", "write_file"),
    ],
)
def test_a_call_that_is_cut_off_is_reported(text: str, name: str | None) -> None:
    events = parse("Now. \n" + text)
    assert events[0] == AnswerText("Now.")
    assert len(events) == 2
    assert isinstance(events[1], MalformedCall)
    assert events[1].name == name
    assert "cut off" in events[1].reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<tool_call>read the file</tool_call>", "names no function"),
        ("<tool_call>\n<function=read_file>\njust text\n</function>\n</tool_call>", "well formed"),
        ('<tool_call>{"arguments": {}}</tool_call>', 'no "name"'),
        ('<tool_call>{"name": "read_file", "arguments": [1]}</tool_call>', "not a JSON object"),
        ('<tool_call>{"name": "read_file", "arguments": "x"}</tool_call>', "not a JSON object"),
        ('<tool_call>{"name": "read_file", arguments}</tool_call>', "not valid JSON"),
    ],
)
def test_malformed_calls_say_what_is_wrong(text: str, reason: str) -> None:
    events = parse(text + "\nGo on.")
    assert isinstance(events[0], MalformedCall)
    assert reason in events[0].reason
    assert events[0].raw
    assert events[1:] == [AnswerText("Go on.")]


def test_missing_closers_are_repaired() -> None:
    text = (
        "<tool_call>\n<function=write_file>\n<parameter=path>\na.py\n"
        "<parameter=content>\nx = 1\n</function>\n</tool_call>"
    )
    assert parse(text) == [ToolCall("write_file", {"path": "a.py", "content": "x = 1"})]


def test_dropped_angle_brackets_are_repaired() -> None:
    text = "<tool_call>\n<function=read_file\n<parameter=path\na.py\n</parameter>\n</function>"
    assert parse(text) == [ToolCall("read_file", {"path": "a.py"})]


def test_json_calls() -> None:
    text = (
        '<tool_call>\n{"name": "read_file", "arguments": {"path": "a", "start_line": 3}}\n'
        '</tool_call>\n<tool_call>\n{"name": "nothing"}\n</tool_call>'
    )
    assert parse(text, "json") == [
        ToolCall("read_file", {"path": "a", "start_line": 3}),
        ToolCall("nothing", {}),
    ]


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ('{"name": "write_file", "arguments": {"content": "</tool_call> }{"}}',
         {"content": "</tool_call> }{"}),
        ('{"name": "write_file", "arguments": {"content": "a\nb"}}', {"content": "a\nb"}),
        ('{"name": "write_file", "arguments": "{\\"path\\": \\"a\\"}"}', {"path": "a"}),
        ("{'name': 'write_file', 'arguments': {'path': 'a'}}", {"path": "a"}),
        ('{"name": "write_file", "parameters": {"path": "a"}}', {"path": "a"}),
        ('{"name": "read_file", "arguments": {"start_line": "3", "path": "null"}}',
         {"start_line": 3, "path": "null"}),
    ],
)  # fmt: skip
def test_json_calls_are_read_tolerantly(body: str, arguments: dict[str, Any]) -> None:
    assert one_call(f"<tool_call>\n{body}\n</tool_call>", "json") == arguments


def test_json_inside_an_xml_models_tool_call_is_accepted() -> None:
    assert one_call('<tool_call>{"name": "read_file", "arguments": {"path": "a"}}</tool_call>')


def test_circular_references_end() -> None:
    schema = {"properties": {"x": {"$ref": "#/$defs/L"}}, "$defs": {"L": {"$ref": "#/$defs/L"}}}
    parser = ResponseParser({"t": schema}, "xml")
    assert outcome(parser.feed(call("t", x="words"))) == [ToolCall("t", {"x": "words"})]


_pieces = st.lists(
    st.sampled_from(
        [
            "<tool_call>", "</tool_call>", "<function=read_file>", "</function>", "<think>",
            "</think>", "<parameter=path>", "</parameter>", "\n", " ", "word", "<", ">", "}",
            '{"name": ', '"read_file"', '"', ', "arguments": {}', "<function=", "<func", "é",
            call("read_file", path="a"), '<tool_call>{"name": "nothing"}</tool_call>',
        ]
    ),
    max_size=14,
).map("".join)  # fmt: skip


@settings(max_examples=400)
@given(text=_pieces, syntax=st.sampled_from(["xml", "json"]))
@example(text="a\n<function=read_file>\n", syntax="xml")
@example(text="<tool_call><function=read_file></function>  </tool_call>x", syntax="json")
def test_events_do_not_depend_on_how_the_text_is_cut(text: str, syntax: CallSyntax) -> None:
    parse(text, syntax)


_content = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    ["</parameter>", "<parameter=", "null", "\n", "\n\n", "<tool_call>", "</tool_call>", "&lt;"]
)


@settings(max_examples=200, deadline=None)
@given(path=_content, content=_content)
def test_what_is_rendered_is_read_back(path: str, content: str) -> None:
    arguments = {"path": path, "content": content}
    assert one_call(call("write_file", **arguments)) == arguments
    body = json.dumps({"name": "write_file", "arguments": arguments}, ensure_ascii=False)
    assert one_call(f"<tool_call>\n{body}\n</tool_call>", "json") == arguments
