"""Generated tools, calls of them, and how those are written; for the tests of grammar and guide."""

import functools
import json
import re
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import strategies as st

from punie.models.mlx.chat.parser import (
    AnswerText,
    CallSyntax,
    MalformedCall,
    ParserEvent,
    ToolCall,
)
from punie.models.mlx.chat.values import value_text
from punie.models.mlx.chat.vocabulary import Vocabulary
from punie.models.mlx.chat_format import ChatFormat, ToolSpecification
from tests.models.tiny_model import XML_TEMPLATE, build_tokenizer

JSON_TEMPLATE = XML_TEMPLATE.replace("<function=", "<call ")
"""Detected as a template of the JSON syntax; nothing here renders it."""

Tools = dict[str, dict[str, Any]]

_TOOL_NAMES = ["read", "read_file", "w", "größer"]
_NAMES = ["path", "content", "line", "pa", "old_text", "a-b", "q\"'\\", "größe"]
# DEL stands in JSON only as an escape, though `json.dumps` leaves it as it is.
_PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<\x7f"), max_size=12)


@dataclass(frozen=True)
class Kind:
    """A schema and values that fit it."""

    schema: dict[str, Any]
    values: st.SearchStrategy[Any]


def nullable(kind: Kind) -> Kind:
    return Kind({"anyOf": [kind.schema, {"type": "null"}]}, st.none() | kind.values)


EDIT = Kind(
    {"$ref": "#/$defs/Edit"},
    # Properties inside an argument stand in the order of the schema.
    st.builds(lambda old, new: {"old": old, "new": new}, _PLAIN, _PLAIN),
)
DEFINITIONS = {
    "Edit": {
        "type": "object",
        "properties": {
            "old": {"type": "string", "maxLength": 12},
            "new": {"type": "string", "maxLength": 12},
        },
        "required": ["old", "new"],
    }
}
TEXT = Kind({"type": "string"}, _PLAIN)
WORD = Kind({"enum": ["a", "b c", "null", "7"]}, st.sampled_from(["a", "b c", "null", "7"]))
SHORT = Kind({"type": "string", "minLength": 1, "maxLength": 12}, _PLAIN.filter(bool))
LETTERS = Kind(
    {"type": "string", "pattern": "^[a-z/]{1,8}$"}, st.text("abz/", min_size=1, max_size=8)
)
COUNT = Kind({"type": "integer", "minimum": 1, "maximum": 500}, st.integers(1, 500))
FLAG = Kind({"type": "boolean"}, st.booleans())
LEVEL = Kind({"enum": [1, 2, None]}, st.sampled_from([1, 2, None]))
FIXED = Kind({"const": [1, {"k": "v"}]}, st.just([1, {"k": "v"}]))
EDITS = Kind(
    {"type": "array", "items": EDIT.schema, "maxItems": 2}, st.lists(EDIT.values, max_size=2)
)
ROWS = Kind(
    {
        "type": "array",
        "items": {"type": "array", "items": COUNT.schema, "maxItems": 2},
        "maxItems": 2,
    },
    st.lists(st.lists(COUNT.values, max_size=2), max_size=2),
)
EITHER = Kind({"oneOf": [COUNT.schema, {"type": "boolean"}]}, COUNT.values | FLAG.values)
KINDS = [
    TEXT,
    TEXT,
    WORD,
    SHORT,
    LETTERS,
    COUNT,
    FLAG,
    LEVEL,
    FIXED,
    EDIT,
    EDITS,
    ROWS,
    EITHER,
    nullable(COUNT),
    nullable(EDITS),
]
_KEPT_TEXT = [nullable(TEXT), nullable(WORD), Kind({}, _PLAIN)]
"""Kinds whose texts may be read as something else; the schema still holds."""


def tool_set(rng: Random) -> Tools:
    """Return a set of tools, the same for the same seed; strings without a bound among them."""
    tools: Tools = {}
    for name in rng.sample(_TOOL_NAMES, rng.randint(1, 3)):
        names = rng.sample(_NAMES, rng.randint(0, 4))
        tools[name] = {
            "type": "object",
            "properties": {key: rng.choice([*KINDS, *_KEPT_TEXT]).schema for key in names},
            "required": [key for key in names if rng.random() < 0.5],
            "$defs": DEFINITIONS,
        }
    return tools


@dataclass(frozen=True)
class Generated:
    """A set of tools and a call of one of them."""

    tools: Tools
    name: str
    arguments: dict[str, Any]


@st.composite
def calls(draw: st.DrawFn, *, exact: bool = True) -> Generated:
    """Generate tools and a call; `exact` leaves out values that XML cannot tell apart."""
    tools: Tools = {}
    kinds: dict[str, dict[str, Kind]] = {}
    for name in draw(
        st.lists(
            st.sampled_from(_TOOL_NAMES),
            min_size=1,
            max_size=3,
            unique=True,
        )
    ):
        names = draw(st.lists(st.sampled_from(_NAMES), max_size=4, unique=True))
        available = KINDS if exact else [*KINDS, *_KEPT_TEXT]
        kinds[name] = {key: draw(st.sampled_from(available)) for key in names}
        tools[name] = {
            "type": "object",
            "properties": {key: kind.schema for key, kind in kinds[name].items()},
            "required": draw(st.lists(st.sampled_from(names), unique=True)) if names else [],
            "$defs": DEFINITIONS,
        }
    name = draw(st.sampled_from(sorted(tools)))
    keys = draw(st.permutations(sorted(kinds[name])))
    chosen = [k for k in keys if k in tools[name]["required"] or draw(st.booleans())]
    return Generated(tools, name, {key: draw(kinds[name][key].values) for key in chosen})


def written(call: Generated, syntax: CallSyntax) -> str:
    """Return what a model writes between the markers, as the templates write it."""
    if syntax == "json":
        data = {"name": call.name, "arguments": call.arguments}
        return f"\n{json.dumps(data, ensure_ascii=False)}\n"
    values = {key: value_text(value) for key, value in call.arguments.items()}
    return written_xml(call.name, values)


def written_xml(name: str, values: dict[str, str]) -> str:
    parameters = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in values.items())
    return f"\n<function={name}>\n{parameters}</function>\n"


def read_xml(text: str, known: set[str]) -> tuple[str, dict[str, str]] | None:
    """Read a whole call by the rule for raw values, and by nothing else.

    A value ends at the first closer after which the call goes on: with the end of the call, or
    with a known parameter that was not given yet.
    """
    head = re.match(r"\s*<function=([^<>\n]*)>", text)
    if head is None:
        return None
    position = head.end()
    values: dict[str, str] = {}
    while not re.compile(r"\s*</function>\s*\Z").match(text, position):
        opening = re.compile(r"\s*<parameter=([^<>\n]*)>").match(text, position)
        if opening is None or opening.group(1) not in known - values.keys():
            return None
        others = "|".join(map(re.escape, known - values.keys() - {opening.group(1)})) or r"(?!)"
        closer = re.compile(
            rf"</parameter>(?=\s*</function>\s*\Z|\s*<parameter=(?:{others})>)"
        ).search(text, opening.end())
        if closer is None:
            return None
        raw = text[opening.end() : closer.start()]
        values[opening.group(1)] = raw.removeprefix("\n").removesuffix("\n")
        position = closer.end()
    return head.group(1), values


@functools.cache
def tiny_vocabulary() -> Vocabulary:
    return Vocabulary(json.loads(build_tokenizer().to_str()))


def parsed(
    vocabulary: Vocabulary, ids: list[int], tools: Tools, syntax: CallSyntax
) -> list[ParserEvent]:
    """Return what the response's parser makes of a model's output."""
    chat_format = ChatFormat(XML_TEMPLATE if syntax == "xml" else JSON_TEMPLATE, vocabulary)
    assert chat_format.syntax == syntax
    parser = chat_format.parser([ToolSpecification(n, "", s) for n, s in tools.items()])
    decoder = chat_format.decoder()
    events = [*parser.feed(decoder.feed(ids)), *parser.finish()]
    return [event for event in events if isinstance(event, (AnswerText, ToolCall, MalformedCall))]
