import json
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.models.mlx.chat.vocabulary import Vocabulary
from punie.models.mlx.guidance.call_guide import CallGrammar, CallGuide
from punie.models.mlx.guidance.guide import TokenMask
from tests.assets import chat_format, needs_assets
from tests.models.tiny_model import build_tokenizer
from tests.models.tool_sets import Tools, tiny_vocabulary, written_xml

STRING = {"type": "string"}
TOOLS: Tools = {
    "read_file": {
        "type": "object",
        "properties": {"path": STRING, "line": {"type": "integer"}},
        "required": ["path"],
    },
    "stop": {},
}
VOCABULARY = tiny_vocabulary()
CONTROL = VOCABULARY.control
END = CONTROL["<|im_end|>"]
GRAMMAR = CallGrammar(VOCABULARY, 600, [END])
CALL = "<tool_call>" + written_xml("read_file", {"path": "a.py"}) + "</tool_call>"
BARE = CALL.removeprefix("<tool_call>\n")


def ids(text: str) -> list[int]:
    """Return the tokens of a text in which the names of control tokens are control tokens."""
    found: list[int] = []
    while text:
        starts = [(at, name) for name in CONTROL if (at := text.find(name)) >= 0]
        at, name = min(starts, default=(len(text), ""))
        found += VOCABULARY.encode_text(text[:at]) + ([CONTROL[name]] if name else [])
        text = text[at + len(name) :]
    return found


def guide(**options: Any) -> CallGuide:
    made = GRAMMAR.guide(TOOLS, options.pop("syntax", "xml"), **options)
    assert made is not None
    return made


def allowed(mask: TokenMask | None) -> set[int] | None:
    if mask is None:
        return None
    return set(np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist())


def state(one: CallGuide) -> tuple[Any, ...]:
    return (one.forced(), allowed(one.mask()))


def test_free_outside_calls_without_any_grammar() -> None:
    grammar = CallGrammar(VOCABULARY, 600, [END])
    one = grammar.guide(TOOLS, "xml", in_thought=True, thinking_budget=1_000)
    assert one is not None
    grammar.matcher = None  # type: ignore[assignment, method-assign]  # must not be asked for
    text = "Hm, <b> or <function> or\n < function=stop>?</think>\n\nI say <function=stop> é:\n<p>x"
    for token in ids(text):
        assert one.accept([token]) == 1
        assert one.forced() == ()
        assert one.mask() is None


def test_held_from_the_marker_to_the_closing_token_again_and_again() -> None:
    one = guide()
    for _ in range(3):
        assert one.accept(ids("I look.\n")) == len(ids("I look.\n"))
        assert one.mask() is None
        one.accept([CONTROL["<tool_call>"]])
        head = VOCABULARY.encode_text("\n<function=")
        assert one.forced()[:1] == (head[0],)
        mask = allowed(one.mask())
        assert mask is not None
        assert head[0] in mask
        assert not mask & {END, CONTROL["</tool_call>"], *range(len(CONTROL) + 480, 600)}
        rest = ids(CALL)[1:]
        assert one.accept(rest) == len(rest)
        assert one.mask() is None
    assert one.accept([END]) == 1


def test_a_call_inside_a_thought_is_held_too() -> None:
    one = guide(in_thought=True)
    assert one.accept(ids("Hm. <tool_call>")) == len(ids("Hm. <tool_call>"))
    assert one.mask() is not None
    assert one.accept(ids("\n<function=nothing")) < len(ids("\n<function=nothing"))


def test_what_may_not_stand_is_not_taken() -> None:
    one = guide()
    start = ids("Well.<tool_call>\n<function=read_file>\n")
    wrong = ids("<parameter=pa>")
    taken = one.accept([*start, *wrong])
    assert len(start) <= taken < len(start) + len(wrong)
    one.rollback(taken - len(start))
    before = state(one)
    assert one.accept([END]) == 0
    assert one.accept([CONTROL["</tool_call>"]]) == 0
    assert one.accept([599]) == 0
    assert state(one) == before
    rest = ids("<parameter=path>\nx\n</parameter>\n</function>\n</tool_call> Done.")
    assert one.accept(rest) == len(rest)


@pytest.mark.parametrize(
    "before",
    ["", "I look.\n", "I look.\n\n  ", "</think>\n\n", CALL + "\n", CALL, "\n< <function\n"],
)
def test_a_call_without_its_marker(before: str) -> None:
    one = guide()
    start = ids(before + "<function=")
    assert one.accept(start) == len(start)
    mask = allowed(one.mask())
    assert mask is not None
    assert VOCABULARY.encode_text("r")[0] in mask
    assert VOCABULARY.encode_text("x")[0] not in mask
    rest = ids(BARE.removeprefix("<function="))
    assert one.accept(rest) == len(rest)
    assert one.mask() is None


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("I write <function=read_file>", {}),
        ("x\ny <function=read_file>", {}),
        ("<functio=read_file>", {}),
        ("<function=read_file>", {"in_thought": True}),
        ("<function=read_file>", {"syntax": "json"}),
    ],
)
def test_what_is_no_call_without_a_marker(text: str, options: dict[str, Any]) -> None:
    one = guide(**options)
    assert one.accept(ids(text)) == len(ids(text))
    assert one.mask() is None


def test_a_bare_call_of_an_unknown_tool_cannot_be_begun() -> None:
    one = guide()
    assert one.accept(ids("<function=")) == len(ids("<function="))
    name = ids("unknown")
    assert one.accept(name) < len(name)


def test_a_token_that_holds_more_than_the_start_of_a_bare_call() -> None:
    description = json.loads(build_tokenizer().to_str())
    for extra in ("\n\n<function=re", "x<function=re", "<function=zz", "<a\n<function=re"):
        # Such tokens exist in no vocabulary that we know; a control token stands in for one.
        token = {"id": 590, "content": extra, "special": False}
        added = [*description["added_tokens"], {**description["added_tokens"][0], **token}]
        vocabulary = Vocabulary({**description, "added_tokens": added})
        del vocabulary.control[extra]
        one = CallGrammar(vocabulary, 600, [END]).guide(TOOLS, "xml")
        assert one is not None
        assert one.accept([590]) == 1
        assert (one.mask() is not None) is (extra == "\n\n<function=re")


@pytest.mark.parametrize("end", ["<|im_end|>", "\n</tool_call>", "\n<tool_call>"])
def test_how_a_bare_call_may_end(end: str) -> None:
    one = guide()
    whole = ids(BARE.removesuffix("\n</tool_call>") + end)
    assert one.accept(whole) == len(whole)
    mask = allowed(one.mask())
    assert (mask is not None) is (end == "\n<tool_call>")
    if mask is not None:
        assert one.accept(ids(CALL)[1:]) == len(ids(CALL)) - 1
        one.rollback(len(ids(CALL)))  # behind the border of both
        assert one.accept(ids("</tool_call>")) == 1
        assert one.mask() is None


def test_a_spent_budget_ends_the_thought() -> None:
    one = guide(in_thought=True, thinking_budget=5)
    text = ids("I think about it for long")
    assert one.accept(text) == 5
    ending = tuple(ids("\n</think>\n\n"))
    assert one.forced() == ending
    assert allowed(one.mask()) == {ending[0]}
    assert one.accept(ending[:1]) == 1
    assert one.forced() == ending[1:]
    assert one.accept(text) == 0
    one.rollback(3)
    assert one.forced() == ()
    assert one.mask() is None
    assert one.accept(text[3:5]) == 2
    assert one.accept(ending) == len(ending)
    assert one.mask() is None
    assert one.accept(ids(BARE)) == len(ids(BARE))
    # Nothing is left for another thought.
    assert one.accept(ids("<think>")) == 1
    assert one.forced() == ending


def test_a_thought_within_its_budget_is_left_alone() -> None:
    one = guide(in_thought=True, thinking_budget=8)
    text = ids("Hm.\n</think>\n\nAnd now a long answer that no budget holds, with much text.")
    assert one.accept(text) == len(text)
    assert one.forced() == ()


def test_a_budget_ends_a_thought_neither_in_a_character_nor_with_two_line_breaks() -> None:
    one = guide(in_thought=True, thinking_budget=2)
    text = VOCABULARY.encode_text("a€")  # the sign is three tokens here
    assert len(text) == 4
    assert one.accept(text) == 4
    assert one.forced()[:1] == tuple(VOCABULARY.encode_text("\n"))
    other = guide(in_thought=True, thinking_budget=2)
    other.accept(VOCABULARY.encode_text("a\n"))
    assert other.forced() == tuple(ids("</think>\n\n"))
    assert guide(in_thought=True, thinking_budget=0).forced() == tuple(ids("</think>\n\n"))


def test_a_budget_alone_needs_no_tools() -> None:
    one = GRAMMAR.guide({}, "xml", in_thought=True, thinking_budget=1)
    assert one is not None
    assert one.accept(ids("Hm, ")) == 1
    ending = one.forced()
    assert one.accept([*ending, *ids(CALL)]) == len(ending) + len(ids(CALL))
    assert one.mask() is None
    assert GRAMMAR.guide({}, "xml") is None


def test_no_guide_without_the_markers() -> None:
    description = json.loads(build_tokenizer().to_str())
    kept = [t for t in description["added_tokens"] if t["content"] != "</tool_call>"]
    grammar = CallGrammar(Vocabulary({**description, "added_tokens": kept}), 600, [END])
    assert grammar.unavailable == "The tokenizer has no token </tool_call>."
    assert grammar.guide(TOOLS, "xml") is None
    assert grammar.guide(TOOLS, "xml", in_thought=True, thinking_budget=3) is not None
    grammar.prepare(TOOLS, "xml")
    nothing = CallGrammar(Vocabulary({**description, "added_tokens": []}), 600)
    assert nothing.guide(TOOLS, "xml", in_thought=True, thinking_budget=3) is None


def test_tools_without_a_grammar_leave_calls_to_the_parser() -> None:
    one = GRAMMAR.guide({"a>b": {}}, "xml")
    assert one is not None
    assert one.accept(ids(CALL)) == len(ids(CALL))
    assert one.mask() is None


def test_a_matcher_that_fails_lets_the_call_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    grammar = CallGrammar(VOCABULARY, 600, [END])
    one = grammar.guide(TOOLS, "xml")
    assert one is not None
    assert one.accept(ids("<tool_call>\n<function")) == len(ids("<tool_call>\n<function"))
    broken = grammar.matcher(TOOLS, "xml", bare=False)
    assert broken is not None
    assert not broken.consume_token(CONTROL["</tool_call>"])
    assert broken.is_error()
    monkeypatch.setattr(one._calls[-1], "matcher", broken)
    assert one.mask() is None
    assert one.forced() == ()
    rest = ids("=zzz>\n</tool_call> Well.")
    assert one.accept(rest) == len(rest)
    assert one.accept(ids("<tool_call>")) == 1
    assert one.mask() is not None  # the next call is held again
    one.rollback(len(rest))
    assert one.mask() is None


def test_rollback_of_more_than_there_is() -> None:
    one = guide()
    one.accept(ids("Hm"))
    with pytest.raises(ValueError, match="cannot be taken back"):
        one.rollback(len(ids("Hm")) + 1)


TEXTS = [
    "Hm. I see <b>\n",
    "</think>\n\n",
    "<think>\nWell</think>",
    CALL,
    "\n" + CALL,
    BARE,
    "\n" + BARE.removesuffix("\n</tool_call>") + "<|im_end|>",
    "<tool_call>" + written_xml("stop", {}) + "</tool_call>",
    "<tool_call>" + written_xml("read_file", {"line": "12", "path": "</parameter>\n<é"}),
    "\n  <function=re",
    "<function=",
]


@settings(max_examples=200)
@given(
    texts=st.lists(st.sampled_from(TEXTS), max_size=5),
    moves=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 14)), max_size=40),
    budget=st.none() | st.integers(0, 20),
    in_thought=st.booleans(),
)
def test_rolled_back_equals_never_taken(
    texts: list[str], moves: list[tuple[int, int]], budget: int | None, in_thought: bool
) -> None:
    """Accepting and taking back in any order leaves what a fresh replay of the rest has."""
    options = {"in_thought": in_thought, "thinking_budget": budget}
    script = ids("".join(texts))
    one = guide(**options)
    kept: list[int] = []
    at = 0
    for forward, back in moves:
        piece = script[at : at + forward]
        taken = one.accept(piece)
        kept += piece[:taken]
        if taken < len(piece):
            forced = one.forced()
            assert one.accept(forced) == len(forced)
            kept += forced
        at += forward
        back = min(back, len(kept))
        one.rollback(back)
        kept = kept[: len(kept) - back]
        at = max(0, at - back)
        fresh = guide(**options)
        for token in kept:
            assert fresh.accept([token]) == 1
        assert state(one) == state(fresh)


def test_prepared_in_many_threads() -> None:
    grammar = CallGrammar(VOCABULARY, 600, [END])
    threads = [threading.Thread(target=grammar.prepare, args=(TOOLS, "xml")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one = grammar.guide(TOOLS, "xml")
    assert one is not None
    assert one.accept(ids(CALL)) == len(ids(CALL))


def test_masks_cover_the_logits_and_no_more() -> None:
    for width in (300, 489, 640):
        one = CallGrammar(VOCABULARY, width, [END]).guide(TOOLS, "xml")
        assert one is not None
        one.accept(ids("<tool_call>\n<function=read_file>\n<parameter=path>\nx"))
        mask = one.mask()
        assert mask is not None
        assert mask.dtype == np.uint32
        assert len(mask) == (width + 31) // 32
        assert all(VOCABULARY.token_bytes(t) for t in allowed(mask) or ())


@needs_assets
@pytest.mark.parametrize("name", ["Qwen3-Coder-30B-A3B-Instruct", "Qwen-Qwen3-0.6B", "Qwen3.5-4B"])
def test_calls_as_the_published_templates_write_them(name: str) -> None:
    one_format = chat_format(name)
    tools = {"read_file": TOOLS["read_file"]}
    user: dict[str, Any] = {"role": "user", "content": "Read it."}
    arguments = {"path": "src/a.py", "line": 12}
    reply = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"name": "read_file", "arguments": arguments}],
    }
    whole = one_format.encode([user, reply], generation_prompt=False).tokens
    opening = one_format.vocabulary.control["<tool_call>"]
    start = len(whole) - whole[::-1].index(opening) - 1
    answer = whole[start : whole.index(one_format.vocabulary.control["</tool_call>"], start) + 1]
    grammar = CallGrammar(one_format.vocabulary, 151_936, one_format.stop_ids)
    one = grammar.guide(tools, one_format.syntax)
    assert one is not None
    forced = 0
    position = 0
    while position < len(answer):
        if ahead := one.forced():
            assert list(ahead) == answer[position : position + len(ahead)]
            forced += len(ahead)
            assert one.accept(ahead) == len(ahead)
            position += len(ahead)
            continue
        mask = one.mask()
        assert mask is None or int(mask[answer[position] // 32]) >> answer[position] % 32 & 1
        assert one.accept([answer[position]]) == 1
        position += 1
    assert one.mask() is None
    assert forced >= len(answer) // 3
