"""Calls that went wrong elsewhere: each is read right, or refused with a reason, never changed."""

from collections.abc import Sequence
from typing import Any, get_args

import pytest

from punie.models.mlx.chat.parser import (
    AnswerText,
    CallSyntax,
    MalformedCall,
    ResponseParser,
    ThoughtText,
    ToolCall,
)
from punie.models.mlx.chat.vocabulary import ControlToken, Piece
from tests.models.token_splits import Outcome, parse, parse_in_every_cut

OPEN, CLOSE = ControlToken("<tool_call>"), ControlToken("</tool_call>")
THINK, THOUGHT = ControlToken("<think>"), ControlToken("</think>")
MARKERS = ("<tool_call>", "</tool_call>", "<think>", "</think>")

TOOLS: dict[str, dict[str, Any]] = {
    "write": {
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
        "required": ["path", "content"],
        "additionalProperties": False,
    },
    "read": {
        "properties": {
            "path": {"type": "string"},
            "line": {"type": ["integer", "null"]},
            "encoding": {"type": "string"},
        },
        "required": ["path"],
    },
    "edit": {
        "properties": {
            "path": {"type": "string"},
            "edits": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "old": {"type": "string"},
                        "line": {"type": "integer"},
                        "tags": {"type": "array", "items": {"type": "string"}},
                    },
                },
            },
            "all": {"type": "boolean"},
        },
        "required": ["path"],
    },
    "wait": {"properties": {"seconds": {"type": "integer"}}, "required": ["seconds"]},
    "find": {
        "properties": {
            "name": {"type": ["string", "null"]},
            "where": {"anyOf": [{"type": "string"}, {"type": "array"}]},
            "limit": {"anyOf": [{"type": "string"}, {"type": "number"}]},
            "any": {},
        }
    },
    "done": {"properties": {}},
}


def read(*output: Piece, syntax: CallSyntax = "xml", in_thought: bool = False) -> list[Outcome]:
    """Parse output whose markers are control tokens, in every cut."""

    def make() -> ResponseParser:
        return ResponseParser(TOOLS, syntax, in_thought=in_thought, control=MARKERS)

    single: list[Piece] = []
    for piece in output:
        single += list(piece) if isinstance(piece, str) else [piece]
    found = parse_in_every_cut(make, single)
    assert parse(make(), [output]) == found
    for event in found:
        if isinstance(event, AnswerText):
            assert "<parameter=" not in event.text
            assert "</function>" not in event.text
    return found


def xml(function: str, *parameters: tuple[str, str]) -> str:
    values = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in parameters)
    return f"\n<function={function}>\n{values}</function>\n"


def call(name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(name, arguments)


def refused(output: Sequence[Outcome], reason: str, name: str | None) -> None:
    assert len(output) == 1, output
    (event,) = output
    assert isinstance(event, MalformedCall), event
    assert reason in event.reason
    assert event.name == name


READ_A = xml("read", ("path", "a"))

MEASURED = {
    # Right elsewhere too.
    "plain call": (READ_A, [call("read", path="a")]),
    "boolean as Python writes it": (
        xml("edit", ("path", "a"), ("all", "True")),
        [call("edit", path="a", all=True)],
    ),
    "indentation is kept": (
        xml("write", ("path", "a"), ("content", "  if x:\n\n    y\n  ")),
        [call("write", path="a", content="  if x:\n\n    y\n  ")],
    ),
    # An error there.
    "space behind the function": (READ_A + "  \n ", [call("read", path="a")]),
    "no closer of the function": (
        READ_A.replace("</function>\n", ""),
        [call("read", path="a")],
    ),
    "JSON in an XML model": (
        '\n{"name": "read", "arguments": {"path": "a"}}\n',
        [call("read", path="a")],
    ),
    "a word for a number": (  # left to the check of the arguments, which names it
        xml("wait", ("seconds", "three")),
        [call("wait", seconds="three")],
    ),
    # Silently wrong there.
    "two functions in one block": (
        xml("wait", ("seconds", "1")) + xml("read", ("path", "b")),
        [call("wait", seconds=1), call("read", path="b")],
    ),
    "no closer of a value": (
        xml("write", ("path", "a"), ("content", "x")).replace("</parameter>\n", "", 1),
        [call("write", path="a", content="x")],
    ),
    "a closer in the value": (
        xml("write", ("path", "a"), ("content", "f('</parameter>')\n</parameter>\nend")),
        [call("write", path="a", content="f('</parameter>')\n</parameter>\nend")],
    ),
    "the word null": (
        xml("write", ("path", "null"), ("content", "null")),
        [call("write", path="null", content="null")],
    ),
    "a digit where text or nothing is asked for": (
        xml("find", ("name", "5")),
        [call("find", name="5")],
    ),
}


@pytest.mark.parametrize(("body", "expected"), MEASURED.values(), ids=MEASURED)
def test_cases_measured_on_another_parser(body: str, expected: list[Outcome]) -> None:
    assert read(OPEN, body, CLOSE) == expected


MEASURED_JSON = {
    "comma before the closer": (
        '{"name": "edit", "arguments": {"path": "a", "edits": [{"old": ",}"},],}}',
        [call("edit", path="a", edits=[{"old": ",}"}])],
    ),
    "two objects": (
        '{"name": "done"}\n{"name": "read", "arguments": {"path": "b"}}',
        [call("done"), call("read", path="b")],
    ),
    "a list of objects": (
        '[{"name": "done"}, {"name": "read", "arguments": {"path": "b"}}]',
        [call("done"), call("read", path="b")],
    ),
    "a line break in a string": (
        '{"name": "write", "arguments": {"path": "a", "content": "x\n\ty"}}',
        [call("write", path="a", content="x\n\ty")],
    ),
    "single quotes": (
        "{'name': 'edit', 'arguments': {'path': 'it\\'s', 'all': True, 'edits': []}}",
        [call("edit", path="it's", all=True, edits=[])],
    ),
}


@pytest.mark.parametrize(("body", "expected"), MEASURED_JSON.values(), ids=MEASURED_JSON)
@pytest.mark.parametrize("syntax", ["json", "xml"])
def test_json_that_other_parsers_drop(
    body: str, expected: list[Outcome], syntax: CallSyntax
) -> None:
    assert read(OPEN, f"\n{body}\n", CLOSE, syntax=syntax) == expected


def test_xml_in_a_json_model() -> None:
    assert read(OPEN, READ_A, CLOSE, syntax="json") == [call("read", path="a")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"name": "read", "arguments": {"path": "a" "b"}}', "Expecting ',' delimiter at '\"b\""),
        ('{"name": "read", "arguments": {"path": a}}', "Expecting value at 'a}}"),
        ('{"name": "read", "arguments": {"path": "a"}', "Expecting ',' delimiter at its end"),
        ('{"name": "read", "arguments": {"path": "a", "path": "b"}}', "'path' is there twice"),
        ("{'name': 'read', 'arguments': {'path': 'C:\\d'}}", "not valid JSON"),
        ("{'name': 'read', 'arguments': {'path': ('a',)}}", "not valid JSON"),
        ("{'name': 'read', 'arguments': {'path': 'a', 1: 2}}", "not valid JSON"),
        ('{"name": "wait", "arguments": {"seconds": 1e999}}', "too large"),
        ('{"name": "wait", "arguments": {"seconds": NaN}}', "NaN is not JSON"),
        ('{"name": "read", "arguments": {"path": "\\ud83d"}}', "surrogate"),
        ('{"arguments": {"path": "a"}}', 'no "name"'),
        ("[]", 'no "name"'),
        ('{"name": "done"} and then?', "Expecting value at 'and then?'"),
        ("I will read it.", "names no function"),
        ("", "names no function"),
    ],
)
def test_broken_json_is_refused_and_says_where(body: str, reason: str) -> None:
    for syntax in get_args(CallSyntax):
        (event,) = read(OPEN, body, CLOSE, syntax=syntax)
        assert isinstance(event, MalformedCall), event
        assert reason in event.reason


@pytest.mark.parametrize("syntax", ["json", "xml"])
def test_text_that_spells_a_marker_is_text(syntax: CallSyntax) -> None:
    text = "The <think> tag, </think>, <tool_call> and </tool_call>\n<tool_call>\n{}"
    assert read(text, syntax=syntax) == [AnswerText(text)]
    assert read(THINK, text, THOUGHT, "So.", syntax=syntax) == [
        ThoughtText(text),
        AnswerText("So."),
    ]
    assert read(text + " ", THOUGHT, "So.", syntax=syntax, in_thought=True) == [
        ThoughtText(text),
        AnswerText("So."),
    ]


def test_markers_as_text_are_content_of_a_value() -> None:
    content = f"<tool_call>{READ_A}</tool_call>\n<think>no</think>\n</tool_call>"
    body = xml("write", ("path", "a"), ("content", content))
    assert read(OPEN, body, CLOSE, "\nDone.") == [
        call("write", path="a", content=content),
        AnswerText("Done."),
    ]


def test_a_call_inside_a_thought_ends_the_thought() -> None:
    assert read("I look.\n", OPEN, READ_A, CLOSE, in_thought=True) == [
        ThoughtText("I look."),
        call("read", path="a"),
    ]
    assert read(THINK, "Hm", OPEN, READ_A, CLOSE, "\n", THOUGHT, "\n\nYes.") == [
        ThoughtText("Hm"),
        call("read", path="a"),
        AnswerText("Yes."),
    ]


def test_control_tokens_never_reach_the_reader() -> None:
    other = ControlToken("<|fim_middle|>")
    assert read("a", other, "b", THOUGHT, "c", CLOSE, "d <", other, "function=read>") == [
        AnswerText("abcd <function=read>")
    ]
    assert read(THINK, "x", other, THINK, "y", THOUGHT) == [ThoughtText("xy")]


def test_a_control_token_in_a_value_is_the_text_that_was_meant() -> None:
    other = ControlToken("<|fim_middle|>")
    before, after = xml("write", ("path", "a"), ("content", "x|y")).split("|")
    assert read(OPEN, before, other, THOUGHT, after, CLOSE) == [
        call("write", path="a", content="x<|fim_middle|></think>y")
    ]
    body = ['{"name": "write", "arguments": {"path": "a", "content": "x', 'y"}}']
    assert read(OPEN, body[0], other, CLOSE, body[1], CLOSE, syntax="json") == [
        call("write", path="a", content="x<|fim_middle|></tool_call>y")
    ]


def test_an_example_of_a_call_in_control_tokens_is_content() -> None:
    before, after = xml("write", ("path", "a"), ("content", "So:\n|\nEnd")).split("|")
    assert read(OPEN, before, OPEN, READ_A, CLOSE, after, CLOSE) == [
        call("write", path="a", content=f"So:\n<tool_call>{READ_A}</tool_call>\nEnd")
    ]
    # Without the rest it may be an example that was cut off, which must not run.
    refused(read(OPEN, before, OPEN, READ_A, CLOSE), "does not end", "write")


def test_a_missing_opening_marker() -> None:
    assert read("I look.\n", READ_A.lstrip(), CLOSE, "\nThen") == [
        AnswerText("I look."),
        call("read", path="a"),
        AnswerText("Then"),
    ]
    assert read(READ_A, "\nI wait for it.") == [
        call("read", path="a"),
        AnswerText("I wait for it."),
    ]
    assert read(READ_A.lstrip(), CLOSE, READ_A, CLOSE) == [call("read", path="a")] * 2
    for prose in ("<function=read>", "<function=read> is the tag.", "x <function=read>\n<a>"):
        assert read(prose) == [AnswerText(prose)]


def test_missing_closing_markers() -> None:
    assert read(OPEN, READ_A, OPEN, READ_A, CLOSE) == [call("read", path="a")] * 2
    assert read(OPEN, READ_A) == [call("read", path="a")]
    found = read(OPEN, READ_A[:-20], CLOSE, OPEN, READ_A, CLOSE)
    refused(found[:1], "ended inside an argument", "read")
    assert found[1:] == [call("read", path="a")]


@pytest.mark.parametrize("size", range(1, len(READ_A) - 3))
def test_a_call_that_is_cut_off_at_any_place_is_refused(size: int) -> None:
    body = READ_A[:size]
    name = "read" if "<function=read>" in body or "=read" in body else None
    (event,) = read(OPEN, body)
    assert isinstance(event, MalformedCall), event
    assert "cut off" in event.reason
    assert name is None or event.name == name


def test_words_behind_the_function_are_not_lost() -> None:
    assert read(OPEN, READ_A + "I wait.\n", CLOSE) == [
        call("read", path="a"),
        AnswerText("I wait."),
    ]


AMBIGUOUS = {
    "two functions, the first ending in text": (
        READ_A + READ_A,
        "write each call in a <tool_call> of its own",
    ),
    "an argument twice": (xml("read", ("path", "a"), ("path", "b")), "'path' is given twice"),
    "a number twice": (
        xml("read", ("path", "a"), ("line", "1"), ("line", "2")),
        "'line' is given twice",
    ),
    "an argument that the tool does not have": (
        xml("write", ("path", "a"), ("content", "x"), ("mode", "w")),
        "There is no argument 'mode'; the arguments are content, path",
    ),
    "no closer before an argument that need not be there": (
        xml("read", ("path", "a"), ("encoding", "b")).replace("</parameter>\n", "", 1),
        "whether the argument 'path' ends",
    ),
    "an example of a call, then an argument": (
        xml("read", ("path", "<parameter=x>"), ("encoding", "b")),
        "whether <parameter=encoding> is an argument",
    ),
    "words for a value without its closers": (
        "\n<function=write>\n<parameter=path>\na\n",
        "ended inside an argument",
    ),
    "JSON with a key twice": (
        xml("edit", ("path", "a"), ("edits", '[{"old": "a", "old": "b"}]')),
        "'old' is there twice",
    ),
    "half a character": (
        xml("edit", ("path", "a"), ("edits", '[{"old": "\\ud800"}]')),
        "surrogate",
    ),
    "text between the arguments": (
        READ_A.replace("</function>", "and so on</function>").replace("</parameter>", ""),
        None,
    ),
}


@pytest.mark.parametrize(("body", "reason"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_could_mean_two_things_is_refused(body: str, reason: str | None) -> None:
    found = read(OPEN, body, CLOSE)
    if reason is None:
        assert found == [call("read", path="a\n\nand so on")]
        return
    (event,) = found
    assert isinstance(event, MalformedCall), event
    assert reason in event.reason


VALUES = [
    ("find", "name", "null", None),
    ("find", "name", "None", "None"),
    ("find", "name", '"null"', "null"),
    ("find", "name", '"x"', '"x"'),
    ("find", "where", '["a", "b"]', ["a", "b"]),
    ("find", "where", "[a, b]", "[a, b]"),
    ("find", "where", "['a']", "['a']"),
    ("find", "limit", "5", 5),
    ("find", "limit", "1.10", "1.10"),
    ("find", "limit", "007", "007"),
    ("find", "limit", '"5"', "5"),
    ("find", "any", "null", None),
    ("find", "any", "plain", "plain"),
    ("find", "any", '{"a": [1, null]}', {"a": [1, None]}),
    ("read", "line", "null", None),
    ("read", "line", "None", None),
    ("read", "line", "3", 3),
    ("read", "line", "0x10", "0x10"),
    ("read", "line", "1_000", "1_000"),
    ("edit", "edits", '["{\\"old\\": \\"x\\"}"]', [{"old": "x"}]),
    ("edit", "edits", '[{"line": "3", "old": "4"}]', [{"line": 3, "old": "4"}]),
    ("edit", "edits", '[{"tags": "[\\"a\\"]"}]', [{"tags": ["a"]}]),
    ("edit", "edits", '[{"old": "</parameter>\\n</function>"}]',
     [{"old": "</parameter>\n</function>"}]),
    ("edit", "edits", '[{"old": "</parameter>\n<parameter=all>"}]',
     [{"old": "</parameter>\n<parameter=all>"}]),
    ("edit", "edits", "[{'old': 'a', 'line': None}]", [{"old": "a", "line": None}]),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "key", "text", "value"), VALUES)
def test_values_by_their_schemas(tool: str, key: str, text: str, value: Any) -> None:
    (event,) = read(OPEN, xml(tool, (key, text)), CLOSE)
    assert isinstance(event, ToolCall), event
    found = event.arguments[key]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("name", '"null"', "null"),
        ("name", "null", None),
        ("where", '"[1]"', "[1]"),
        ("limit", '"5"', "5"),
    ],
)
def test_json_strings_stay_where_strings_are_allowed(key: str, text: str, value: Any) -> None:
    body = f'{{"name": "find", "arguments": {{"{key}": {text}}}}}'
    assert read(OPEN, body, CLOSE, syntax="json") == [call("find", **{key: value})]


def test_unknown_tools_and_arguments_reach_the_agent_that_knows_the_right_ones() -> None:
    assert read(OPEN, xml("dance", ("x", "1")), CLOSE) == [call("dance", x=1)]
    assert read(OPEN, xml("done", ("x", "1")), CLOSE) == [call("done", x=1)]
    assert read(OPEN, xml("wait", ("seconds", "1"), ("x", "y")), CLOSE) == [
        call("wait", seconds=1, x="y")
    ]
