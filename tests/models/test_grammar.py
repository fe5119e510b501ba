import json
import re
import unicodedata
from typing import Any

import jsonschema
import llguidance
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from punie.models.mlx.chat.parser import CallSyntax, ToolCall
from punie.models.mlx.chat.vocabulary import Vocabulary
from punie.models.mlx.guidance.call_guide import CallGrammar
from punie.models.mlx.guidance.grammar import Grammar, GrammarError, Markers, call_grammar
from tests.assets import needs_assets
from tests.assets import vocabulary as real_vocabulary
from tests.models.tool_sets import (
    Generated,
    Tools,
    calls,
    parsed,
    read_xml,
    tiny_vocabulary,
    written,
    written_xml,
)

SYNTAXES: list[CallSyntax] = ["xml", "json"]
STRING = {"type": "string"}
FILES: Tools = {
    "write_file": {
        "type": "object",
        "properties": {"path": STRING, "content": STRING, "mode": {"type": "integer"}},
        "required": ["path", "content"],
    }
}

_grammars = {"tiny": CallGrammar(tiny_vocabulary(), 512, [tiny_vocabulary().control["<|im_end|>"]])}


def grammar_of(vocabulary: Vocabulary) -> CallGrammar:
    if vocabulary is tiny_vocabulary():
        return _grammars["tiny"]
    return _grammars.setdefault("real", CallGrammar(vocabulary, 151_936, [151_645]))


def matcher(tools: Tools, syntax: CallSyntax, vocabulary: Vocabulary) -> llguidance.LLMatcher:
    found = grammar_of(vocabulary).matcher(tools, syntax, bare=False)
    assert found is not None
    return found


def tokens(text: str, vocabulary: Vocabulary) -> list[int]:
    return [*vocabulary.encode_text(text), vocabulary.control["</tool_call>"]]


def accepts(text: str, tools: Tools, syntax: CallSyntax = "xml") -> bool:
    ids = tokens(text, tiny_vocabulary())
    one = matcher(tools, syntax, tiny_vocabulary())
    return one.try_consume_tokens(ids) == len(ids) and one.is_stopped()


def lark(tools: Tools, syntax: CallSyntax = "xml") -> Grammar:
    markers = Markers(300, 301, ())
    return call_grammar(tools, syntax, markers, llguidance.LLMatcher.validate_grammar)


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(call=calls())
def test_every_valid_call_is_accepted_and_read_back(call: Generated, syntax: CallSyntax) -> None:
    check_valid_call(call, syntax, tiny_vocabulary())


@needs_assets
@pytest.mark.parametrize("syntax", SYNTAXES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(call=calls())
def test_every_valid_call_is_accepted_in_real_tokens(call: Generated, syntax: CallSyntax) -> None:
    check_valid_call(call, syntax, real_vocabulary())


def check_valid_call(call: Generated, syntax: CallSyntax, vocabulary: Vocabulary) -> None:
    ids = tokens(written(call, syntax), vocabulary)
    one = matcher(call.tools, syntax, vocabulary)
    for number, token in enumerate(ids):
        forced = one.compute_ff_tokens()
        # Forced tokens are the ones a tokenizer would write.
        assert ids[number : number + len(forced)] == forced
        assert one.try_consume_tokens([token]) == 1, vocabulary.text(ids[: number + 1])
    assert one.is_stopped()
    output = [vocabulary.control["<tool_call>"], *ids]
    # The published tokenizer composes characters before it splits a text.
    composed = json.loads(
        unicodedata.normalize("NFC", json.dumps(call.arguments, ensure_ascii=False))
    )
    assert parsed(vocabulary, output, call.tools, syntax) in (
        [ToolCall(call.name, call.arguments)],
        [ToolCall(call.name, composed)],
    )


PIECES = ["</parameter>", "</function>", "<parameter=path>", "<parameter=content>", "<parameter=x>"]
PIECES += ["<function=write_file>", "</tool_call>", "<tool_call>", "\n", "\n", " ", "x", "é", "<"]
MARKUP = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@settings(max_examples=300)
@given(
    values=st.lists(
        st.tuples(st.sampled_from(["path", "content"]), MARKUP),
        min_size=2,
        max_size=2,
        unique_by=lambda item: item[0],
    ).map(dict)
)
@example(values={"path": "a", "content": "</parameter>\n</function>\n</tool_call>"})
@example(values={"path": "a</parameter>", "content": "</function></parameter>\n<parameter=path>"})
def test_a_value_may_hold_closers_wherever_its_end_is_clear(values: dict[str, str]) -> None:
    text = written_xml("write_file", values)
    assume(read_xml(text, {"path", "content", "mode"}) == ("write_file", values))
    assert accepts(text, FILES)


@settings(max_examples=300)
@given(
    pieces=st.lists(
        MARKUP
        | st.sampled_from(
            ["\n</parameter>\n<parameter=content>\n", "\n</parameter>\n</function>\n"]
        ),
        max_size=6,
    )
)
def test_what_ends_is_a_call_by_the_rule_of_values(pieces: list[str]) -> None:
    text = "\n<function=write_file>\n<parameter=path>\n" + "".join(pieces)
    read = read_xml(text, {"path", "content", "mode"})
    whole = read is not None and {"path", "content"} <= read[1].keys()
    # An argument that is no text has bounds of its own, which the rule does not know.
    assume("<parameter=mode>" not in text)
    if re.search(r"<parameter=\w+>(?!\n)", text):
        assert whole or not accepts(text, FILES)  # a line break may have to follow the tag
    else:
        assert accepts(text, FILES) == whole


def test_control_tokens_never_stand_in_a_value() -> None:
    vocabulary = tiny_vocabulary()
    one = matcher(FILES, "xml", vocabulary)
    head = vocabulary.encode_text("\n<function=write_file>\n<parameter=path>\nx")
    assert one.try_consume_tokens(head) == len(head)
    for number in vocabulary.control.values():
        assert one.try_consume_tokens([number]) == 0
    assert not one.is_error()


@pytest.mark.parametrize(
    ("values", "is_call"),
    [
        ({"path": "a", "content": "b"}, True),
        ({"content": "b", "mode": "7", "path": "a"}, True),
        ({"path": "a"}, False),
        ({}, False),
        ({"path": "a", "content": "b", "other": "c"}, True),  # all of it is the content
        ({"mode": "7", "other": "c"}, False),
        ({"path": "a", "content": "b", "mode": "x"}, False),
        ({"mode": "7.5", "path": "a", "content": "b"}, False),
    ],
)
def test_arguments_in_any_order_and_all_that_are_required(
    values: dict[str, str], is_call: bool
) -> None:
    assert accepts(written_xml("write_file", values), FILES) is is_call


@pytest.mark.parametrize(
    "text",
    [
        '\n{"name": "write_file", "arguments": {"content": "a", "path": "b"}}\n',
        '\n{"name": "write_file", "arguments": {"path": "a", "mode": 7, "content": "b"}}\n',
    ],
)
def test_json_calls_in_any_order(text: str) -> None:
    assert accepts(text, FILES, "json")
    assert not accepts(text.replace("path", "content"), FILES, "json")
    assert not accepts(text.replace("write_file", "write_fil"), FILES, "json")
    assert not accepts(text.replace('"b"', "null"), FILES, "json")


def test_many_parameters() -> None:
    names = [f"p{i}" for i in range(70)]
    tool: dict[str, Any] = {"properties": dict.fromkeys(names, STRING), "required": names[30:40]}
    given = dict.fromkeys([*names[30:40], "p0", "p5"], "v")
    assert accepts(written_xml("many", given), {"many": tool})
    assert any("more parameters" in problem for problem in lark({"many": tool}).problems)
    everything = {**tool, "required": names}
    assert accepts(written_xml("many", dict.fromkeys(names, "v")), {"many": everything})


def test_tools_without_parameters_and_with_free_ones() -> None:
    tools: Tools = {
        "nothing": {},
        "open": {"type": "object", "additionalProperties": True},
        "numbers": {"type": "object", "additionalProperties": {"type": "integer"}},
    }
    assert accepts(written_xml("nothing", {}), tools)
    assert accepts(written_xml("open", {"any": "thing", "x.y": "</function>"}), tools)
    assert accepts(written_xml("numbers", {"any": "12"}), tools)
    assert not accepts(written_xml("numbers", {"any": "thing"}), tools)
    assert accepts('\n{"name": "nothing", "arguments": {}}\n', tools, "json")
    assert accepts('\n{"name": "open", "arguments": {"any": [1]}}\n', tools, "json")
    assert not accepts('\n{"name": "numbers", "arguments": {"any": [1]}}\n', tools, "json")


REFUSED: dict[str, Any] = {
    "lookahead": {"type": "string", "pattern": "(?=a)b"},
    "anchored": {"type": "string", "pattern": "^a|b$"},
    "unique": {"type": "array", "uniqueItems": True, "items": {"type": "integer"}},
    "remote": {"$ref": "http://somewhere/else"},
    "nowhere": {"$ref": "#/$defs/Nothing"},
    "empty": {"type": "integer", "minimum": 3, "maximum": 1},
    "strange": {"type": "array", "items": {"type": "strange"}},
    "closer": {"enum": ["</parameter>", "x"]},
}


@pytest.mark.parametrize("key", REFUSED)
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_schema_that_cannot_be_followed_widens_that_argument_only(
    key: str, syntax: CallSyntax
) -> None:
    tools: Tools = {"t": {"properties": {key: REFUSED[key], "line": {"type": "integer"}}}}
    grammar = lark(tools, syntax)
    assert [problem for problem in grammar.problems if key in problem] or (
        (syntax, key) in {("json", "closer"), ("json", "anchored"), ("xml", "remote")}
        or key in ("nowhere",)
    )
    if syntax == "json":
        assert accepts('\n{"name": "t", "arguments": {"line": 3}}\n', tools, syntax)
        assert not accepts('\n{"name": "t", "arguments": {"line": "x"}}\n', tools, syntax)
    else:
        assert accepts(written_xml("t", {"line": "3"}), tools)
        assert not accepts(written_xml("t", {"line": "x"}), tools)


def test_names_that_cannot_be_written_are_left_out() -> None:
    tools: Tools = {"a>b": {}, "ok": {"properties": {"x\ny": STRING, "z": STRING}}}
    grammar = lark(tools)
    assert len(grammar.problems) == 2
    assert accepts(written_xml("ok", {"z": "1"}), tools)
    with pytest.raises(GrammarError):
        lark({"a>b": {}})
    assert accepts('\n{"name": "a>b", "arguments": {}}\n', tools, "json")


def test_objects_are_closed_unless_their_schema_says_otherwise() -> None:
    item = {"type": "object", "properties": {"a": STRING}}
    free = {"type": "object", "properties": {"a": STRING}, "additionalProperties": True}
    joined = {"allOf": [item, {"type": "object", "properties": {"b": STRING}}]}
    tools: Tools = {"t": {"properties": {"closed": item, "free": free, "joined": joined}}}
    both = '{"a": "x", "b": "y"}'
    assert accepts(written_xml("t", {"closed": '{"a": "x"}'}), tools)
    assert not accepts(written_xml("t", {"closed": both}), tools)
    assert accepts(written_xml("t", {"free": both}), tools)
    assert accepts(written_xml("t", {"joined": both}), tools)


@pytest.mark.parametrize(
    ("schema", "text", "is_value"),
    [
        ({"type": "number"}, "-12.5", True),
        ({"type": "number"}, "1e400", False),
        ({"type": ["number", "null"]}, "null", True),
        ({"type": "number", "minimum": 0}, "3", True),
        ({"type": "number", "minimum": 0}, "-3", False),
        ({"type": "array"}, '[1, "x", {"a": [null, 0.5]}]', True),
        ({"type": "array"}, "[1e400]", False),
        ({"type": "object"}, '{"a": {"b": true}}', True),
        ({"type": "object", "properties": {}}, '{"a": 1}', True),
        ({"type": "array", "items": {}}, "[[2]]", True),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, '{"a": "x"}', False),
        ({"type": "number", "enum": [1.5, 2]}, "1.5", True),
    ],
)
def test_numbers_are_finite_and_open_values_any_json(
    schema: dict[str, Any], text: str, is_value: bool
) -> None:
    tools: Tools = {"t": {"properties": {"v": schema}}}
    assert accepts(written_xml("t", {"v": text}), tools) is is_value
    assert accepts(f'\n{{"name": "t", "arguments": {{"v": {text}}}}}\n', tools, "json") is is_value


@pytest.mark.parametrize("schema", [{}, {"description": "Anything"}, True])
def test_a_value_of_which_nothing_is_said(schema: Any) -> None:
    tools: Tools = {"t": {"properties": {"v": schema}}}
    assert accepts(written_xml("t", {"v": "any {text"}), tools)
    for text in ('"x"', "-7", "null", '{"a": [{}]}'):
        assert accepts(f'\n{{"name": "t", "arguments": {{"v": {text}}}}}\n', tools, "json")
    assert not accepts('\n{"name": "t", "arguments": {"v": 1e400}}\n', tools, "json")


def test_rules_about_all_arguments_hold_in_json() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"a": STRING, "b": STRING},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    }
    assert accepts('\n{"name": "t", "arguments": {"b": "x"}}\n', {"t": schema}, "json")
    assert not accepts('\n{"name": "t", "arguments": {}}\n', {"t": schema}, "json")


@pytest.mark.parametrize("syntax", SYNTAXES)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(call=calls(exact=False), seed=st.integers(0, 2**32 - 1))
def test_whatever_is_sampled_is_a_valid_call(
    call: Generated, seed: int, syntax: CallSyntax
) -> None:
    check_walk(call.tools, syntax, seed, tiny_vocabulary())


@needs_assets
@pytest.mark.parametrize("syntax", SYNTAXES)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(call=calls(exact=False), seed=st.integers(0, 2**32 - 1))
def test_whatever_is_sampled_in_real_tokens_is_a_valid_call(
    call: Generated, seed: int, syntax: CallSyntax
) -> None:
    check_walk(call.tools, syntax, seed, real_vocabulary())


def check_walk(tools: Tools, syntax: CallSyntax, seed: int, vocabulary: Vocabulary) -> None:
    """Sample from random logits under the mask, now and then steering to an end."""
    random = np.random.default_rng(seed)
    grammar = grammar_of(vocabulary)
    guide = grammar.guide(tools, syntax)
    assert guide is not None
    output = [vocabulary.control["<tool_call>"]]
    assert guide.accept(output) == 1
    for step in range(1_000):
        if forced := guide.forced():
            assert guide.accept(forced) == len(forced)
            output += forced
        mask = guide.mask()
        if mask is None:
            break
        if random.random() < 0.1 + step / 100 and (
            way := try_exit(guide, output, tools, vocabulary, random)
        ):
            output += way
            continue
        bits = np.unpackbits(mask.view(np.uint8), bitorder="little")[: grammar.width]
        allowed = np.flatnonzero(bits)
        assert len(allowed)
        token = int(allowed[random.normal(size=len(allowed)).argmax()])
        assert guide.accept([token]) == 1
        output.append(token)
    events = parsed(vocabulary, output, tools, syntax)
    assert len(events) == 1, vocabulary.text(output)
    found = events[0]
    assert isinstance(found, ToolCall), found
    jsonschema.validate(found.arguments, tools[found.name])


def try_exit(
    guide: Any, output: list[int], tools: Tools, vocabulary: Vocabulary, random: np.random.Generator
) -> list[int]:
    """Let a model that wants to end do so, if the grammar lets it; return what it wrote."""
    text = vocabulary.text(output)
    chosen = [name for name in tools if f"<function={name}>" in text]
    names = [key for name in chosen for key in tools[name]["properties"]]
    ways = ["\n</parameter>\n</function>\n", "</function>\n", '"}}\n', "}}\n"]
    if random.random() < 0.5:
        ways += ['"', "]", "}", ": 1"]  # out of JSON of no known shape
    ways += [f"\n</parameter>\n<parameter={k}>\n" for k in names if f"<parameter={k}>" not in text]
    random.shuffle(ways)
    for way in ways:
        ids = vocabulary.encode_text(way)
        if way.endswith(("</function>\n", "}}\n")):
            ids.append(vocabulary.control["</tool_call>"])
        taken = guide.accept(ids)
        if taken == len(ids):
            return ids
        guide.rollback(taken)
    return []


def test_strings_of_json_are_what_the_template_writes() -> None:
    text = json.dumps(
        {"name": "write_file", "arguments": {"path": 'é"\\\n\t', "content": ""}}, ensure_ascii=False
    )
    assert accepts(f"\n{text}\n", FILES, "json")
