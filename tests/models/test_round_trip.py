"""Any arguments of any schema, rendered by a chat template, come back equal or are refused."""

import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from punie.models.mlx.chat.calls import properties_of
from punie.models.mlx.chat.parser import MalformedCall, ToolCall
from punie.models.mlx.chat.values import same, value_text
from punie.models.mlx.chat.vocabulary import Vocabulary
from punie.models.mlx.chat_format import ChatFormat, ToolSpecification
from tests.assets import TEMPLATES, chat_format, needs_assets
from tests.models.tiny_model import XML_TEMPLATE, build_tokenizer
from tests.models.token_splits import Outcome, parse

CLOSERS = re.compile(r"</parameter>|</function>|<parameter=|<function=")
NEXT = re.compile(r"</parameter>\s*<parameter=([^<>\n]*)[>\n]|<parameter=([^<>\n]*)[>\n]")

_START = XML_TEMPLATE.index("{{- '\\n<tool_call>")
_END = XML_TEMPLATE.index("{%- endfor %}\n{{- '<|im_end|>")
JSON_TEMPLATE = (
    XML_TEMPLATE[:_START]
    + """{{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
"""
    + XML_TEMPLATE[_END:]
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ChatFormat]:
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    build_tokenizer().save(str(file))
    vocabulary = Vocabulary.load(Path(file).parent)
    templates = {"xml": XML_TEMPLATE, "json": JSON_TEMPLATE}
    return {syntax: ChatFormat(text, vocabulary) for syntax, text in templates.items()}


# Values and their schemas ------------------------------------------------------------------------

nasty = st.sampled_from(
    [
        "</parameter>", "\n</parameter>\n", "</function>", "\n</function>\n", "<parameter=a>",
        "</parameter>\n<parameter=b>\n", "<function=f>", "<tool_call>", "</tool_call>", "<think>",
        "</think>", "<|im_end|>", "<|im_start|>", "null", "None", "true", "5", "1.0", "1e5", '"x"',
        '"null"', '""', "[]", "{}", "[1", "'", '"', "\\", "\\n", "\n", "\n\n", " ", "\t", "\r\n",
        "\r", "\u2028", "é", "\U0001f9ff", "\U000f0001", "&lt;", "{{ x }}", "\x00", "\x85", "",
    ]
)  # fmt: skip
# Mostly one of them alone, because most are only nasty alone.
texts = nasty | st.lists(nasty | st.text(st.characters(codec="utf-8"), max_size=8), max_size=5).map(
    "".join
)
misleading = st.sampled_from(
    [
        "null",
        "None",
        "true",
        "True",
        "5",
        "-0",
        "1.0",
        "1.10",
        "1e5",
        "[]",
        "[1]",
        "{}",
        '""',
        '"x"',
    ]
    + [f'"{word}"' for word in ("null", "5", "true", "[]", "x", "")]
    + [r'"\"5\""', " 5", ' "5"', "nul", "NaN"]
)
"""Strings that look like other values, which they must not become where both are allowed."""
numbers = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.none() | st.booleans() | numbers | texts
anything = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)

OF_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "string": texts,
    "integer": st.integers(-(10**20), 10**20),
    "number": numbers,
    "boolean": st.booleans(),
    "null": st.none(),
    "array": st.lists(anything, max_size=3),
    "object": st.dictionaries(texts, anything, max_size=3),
}


@st.composite
def schema_and_value(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
    """Draw a schema of an argument, and a value that fits it."""
    form = draw(st.sampled_from(["type", "types", "anyOf", "enum", "$ref", "items", "nothing"]))
    types = draw(st.lists(st.sampled_from(list(OF_TYPE)), min_size=1, max_size=3, unique=True))
    kind = draw(st.sampled_from(types))
    value = draw(OF_TYPE[kind] if kind != "string" else misleading | texts)
    match form:
        case "type":
            return {"type": kind}, value
        case "types":
            return {"type": types}, value
        case "anyOf":
            return {"anyOf": [{"type": kind} for kind in types]}, value
        case "enum":
            options = draw(st.lists(plain, min_size=1, max_size=4))
            return {"enum": options}, draw(st.sampled_from(options))
        case "$ref":
            return {"$ref": f"#/$defs/{kind}"}, value
        case "items":
            kind = draw(st.sampled_from(["string", "integer", "object"]))
            items = {"type": "array", "items": {"type": kind}}
            return items, draw(st.lists(OF_TYPE[kind], max_size=3))
        case _:
            return {}, draw(misleading | anything)


@dataclass(frozen=True)
class Written:
    """A call of a tool, as an assistant message has it."""

    tool: ToolSpecification
    arguments: dict[str, Any]


@st.composite
def calls(draw: st.DrawFn) -> Written:
    names = draw(st.lists(st.sampled_from(["a", "b", "path", "x-y", "ключ"]), unique=True))
    drawn = {name: draw(schema_and_value()) for name in names}
    given = [name for name in names if draw(st.booleans()) or draw(st.booleans())]
    order = draw(st.permutations(given))
    required = [name for name in given if draw(st.booleans())]
    schema = {
        "type": "object",
        "properties": {name: schema for name, (schema, _) in drawn.items()},
        "required": required,
        "$defs": {kind: {"type": kind} for kind in OF_TYPE},
    }
    return Written(ToolSpecification("f", "Do.", schema), {name: drawn[name][1] for name in order})


# The property ------------------------------------------------------------------------------------


def written_ids(chosen: ChatFormat, written: Written) -> list[int]:
    """Return what the template lets the assistant write for the call, without the frame of turn."""
    ask = {"role": "user", "content": "do"}
    answer = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"name": "f", "arguments": written.arguments}],
    }
    ids = chosen.encode([ask, answer], [written.tool], generation_prompt=False).tokens
    control = chosen.vocabulary.control
    end = len(ids) - ids[::-1].index(control["<|im_end|>"]) - 1
    # Before the call stands what the template puts there, a thought or nothing.
    start = end - ids[:end][::-1].index(control["<|im_start|>"])
    return ids[start:end]


def read_back(chosen: ChatFormat, written: Written, size: int) -> list[ToolCall | MalformedCall]:
    ids = written_ids(chosen, written)

    def outcome(cut: int) -> list[Outcome]:
        decoder = chosen.decoder()
        pieces = [decoder.feed(ids[at : at + cut]) for at in range(0, len(ids), cut)]
        pieces.append([decoder.finish()])
        return parse(chosen.parser([written.tool]), pieces)

    whole = outcome(len(ids))
    assert outcome(1) == whole
    assert outcome(size) == whole
    # The role stands before the first line break, where a model begins to write.
    return [event for event in whole if isinstance(event, ToolCall | MalformedCall)]


def value_texts(written: Written) -> dict[str, str]:
    """Return the arguments as the XML form has them."""
    root = written.tool.parameters
    known = properties_of(root)
    return {k: value_text(v, known.get(k), root) for k, v in written.arguments.items()}


def cannot_be_written(written: Written) -> bool:
    """Tell whether a value holds, in text, the beginning of an argument that may follow it.

    In the XML form such a call has the very same text as one with that argument.
    """
    known = properties_of(written.tool.parameters)
    given: set[str] = set()
    for name, text in value_texts(written).items():
        given.add(name)
        for match in NEXT.finditer(text):
            if (match.group(1) or match.group(2)).strip() in known.keys() - given:
                return True
    return False


def check(chosen: ChatFormat, written: Written, size: int) -> None:
    (event,) = read_back(chosen, written, size)
    if isinstance(event, MalformedCall):
        assert chosen.traits.syntax == "xml", event
        assert any(map(CLOSERS.search, value_texts(written).values())), event
        return
    if chosen.traits.syntax == "xml" and cannot_be_written(written):
        return
    assert event.name == "f"
    # The published tokenizer composes characters before it splits a text.
    text = unicodedata.normalize("NFC", json.dumps(written.arguments, ensure_ascii=False))
    meant = (written.arguments, json.loads(text))
    assert any(same(event.arguments, arguments) for arguments in meant), event
    assert list(event.arguments) == list(written.arguments)


@settings(max_examples=500)
@given(written=calls(), size=st.integers(2, 7))
def test_small_templates_in_both_forms(
    small: dict[str, ChatFormat], written: Written, size: int
) -> None:
    for chosen in small.values():
        check(chosen, written, size)


@needs_assets
@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=150)
@given(written=calls(), size=st.integers(2, 7))
@example(
    written=Written(
        ToolSpecification("f", "Do.", {"properties": {"a": {"type": "string"}}}),
        {"a": "</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=f>\n"},
    ),
    size=3,
)
def test_published_templates(name: str, written: Written, size: int) -> None:
    check(chat_format(name), written, size)
