"""What the grammar costs for each token, inside calls and outside, with a model's vocabulary.

Realistic calls of a coding agent go through the guide as the engine asks it: the mask, the token,
what is forced after it. The model itself is not run.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
import mlx.core as mx

from punie.models.mlx.bench.rows import BenchError, Finding, Limit, Row
from punie.models.mlx.bench.suite import Subject
from punie.models.mlx.chat.calls import ToolSchemas
from punie.models.mlx.chat.parser import CallSyntax
from punie.models.mlx.chat.values import value_text
from punie.models.mlx.chat.vocabulary import Vocabulary
from punie.models.mlx.guidance.call_guide import CallGrammar, CallGuide
from punie.models.mlx.guidance.masking import apply_mask

_RUNS = 20
_SYNTAXES: tuple[CallSyntax, ...] = ("xml", "json")

_CODE = Path(__file__).read_text(encoding="utf-8")[:1_600]
_CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("write_file", {"path": "src/bench/grammar.py", "content": _CODE}),
    (
        "edit_file",
        {
            "path": "src/app/settings.py",
            "edits": [{"old_text": "RETRIES = 3\n", "new_text": "RETRIES = 5\nBACKOFF = 1.5\n"}],
        },
    ),
    ("search", {"pattern": r"def \w+_timeout\(", "path": "src"}),
    ("read_file", {"path": "src/app/client.py", "start_line": 40}),
    ("run_command", {"command": "python -m pytest tests/app -q"}),
)
_PROSE = "I look at the settings first; then `client.py` gets a timeout, and a < b holds.\n" * 20


@dataclass
class Costs:
    """Seconds for each token that was decoded, and how many were decoded and forced."""

    mask: list[float] = field(default_factory=list)
    accept: list[float] = field(default_factory=list)
    decoded: int = 0
    given: int = 0

    @property
    def both(self) -> list[float]:
        """Seconds for mask and token together, sorted."""
        return sorted(map(sum, zip(self.mask, self.accept, strict=True)))


async def measure(subject: Subject) -> list[Finding]:
    """Measure with the model's vocabulary and the agent's tools, in a thread."""
    chat = subject.model.chat_format
    engine = subject.model.engine
    width = engine.vocabulary_size or max(chat.vocabulary.control.values(), default=0) + 1
    tools = {tool.name: tool.parameters_json_schema for tool in subject.parameters.function_tools}
    grammar = call_grammar(chat.vocabulary, width)
    findings = await anyio.to_thread.run_sync(measure_guide, grammar, tools, subject.say)
    subject.say("the mask on logits")
    return [*findings, await engine.with_model(lambda _: measure_mask(grammar, tools))]


def call_grammar(vocabulary: Vocabulary, width: int) -> CallGrammar:
    """Return the grammar of a model with so many logits; raise `BenchError` if it has none."""
    end = vocabulary.control.get("<|im_end|>")
    grammar = CallGrammar(vocabulary, width, () if end is None else (end,))
    if grammar.unavailable:
        raise BenchError(grammar.unavailable.rstrip("."))
    return grammar


def measure_guide(
    grammar: CallGrammar, tools: ToolSchemas, say: Callable[[str], None]
) -> list[Finding]:
    """Measure the guide in both syntaxes and in prose."""
    begin = time.perf_counter()
    grammar.prepare(tools, "xml")
    findings: list[Finding] = [
        Row(
            "first grammar of a model",
            1e3 * (time.perf_counter() - begin),
            "ms",
            "once, before the first call",
        )
    ]
    for syntax in _SYNTAXES:
        say(f"{syntax} calls")
        begin = time.perf_counter()
        grammar.prepare({**tools, "another": {}}, syntax)
        compiling = 1e3 * (time.perf_counter() - begin)
        costs = _measure_calls(grammar, tools, syntax)
        both = [1e6 * seconds for seconds in costs.both]
        tokens = costs.decoded + costs.given
        findings.append(
            Row(
                f"mask and token of a call, {syntax}",
                statistics.median(both),
                "µs",
                f"in the median (mean {statistics.mean(both):.0f}, 95 % under "
                f"{both[int(0.95 * len(both))]:.0f}; {costs.given / tokens:.0%} of "
                f"{tokens // _RUNS} tokens are forced and cost no pass)",
                Limit("at most", 50.0),
            )
        )
        name = f"grammar of a set of tools, {syntax}"
        findings.append(
            Row(name, compiling, "ms", f"once for each set, here of {len(tools) + 1} tools")
        )
    say("prose")
    findings.append(
        Row(
            "token outside calls",
            1e6 * _measure_prose(grammar, tools),
            "µs",
            "in the median; no grammar holds there",
            Limit("at most", 5.0),
        )
    )
    return findings


def _written(name: str, arguments: dict[str, Any], syntax: CallSyntax) -> str:
    """Return what a model writes between the markers."""
    if syntax == "json":
        return f"\n{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}\n"
    values = "".join(
        f"<parameter={key}>\n{value_text(value)}\n</parameter>\n"
        for key, value in arguments.items()
    )
    return f"\n<function={name}>\n{values}</function>\n"


def _measure_calls(grammar: CallGrammar, tools: ToolSchemas, syntax: CallSyntax) -> Costs:
    """Follow each call as the engine does; the first run fills caches and does not count."""
    costs = Costs()
    for run in range(_RUNS + 1):
        if run == 1:
            costs = Costs()
        for name, arguments in _CALLS:
            _follow(
                grammar, _guide(grammar, tools, syntax), _written(name, arguments, syntax), costs
            )
    return costs


def _follow(grammar: CallGrammar, guide: CallGuide, text: str, costs: Costs) -> None:
    """Take the tokens of a call one by one, or several where they are forced."""
    ids = [*grammar.vocabulary.encode_text(text), grammar.vocabulary.control["</tool_call>"]]
    position = 0
    while position < len(ids):
        forced = guide.forced()
        if forced:
            rest = ids[position : position + len(forced)]
            if list(forced) != rest or guide.accept(forced) < len(forced):
                raise BenchError("the grammar forces other tokens than the tokenizer writes")
            position += len(forced)
            costs.given += len(forced)
            continue
        begin = time.perf_counter()
        mask = guide.mask()
        middle = time.perf_counter()
        taken = guide.accept(ids[position : position + 1])
        costs.accept.append(time.perf_counter() - middle)
        costs.mask.append(middle - begin)
        if mask is None or not taken:
            raise BenchError(f"the grammar does not take a valid call ({text!r})")
        position += 1
        costs.decoded += 1


def _guide(grammar: CallGrammar, tools: ToolSchemas, syntax: CallSyntax) -> CallGuide:
    """Return the guide of a response that has just begun a call."""
    guide = grammar.guide(tools, syntax)
    if guide is None:
        raise BenchError("there are no tools to call")
    guide.accept([grammar.vocabulary.control["<tool_call>"]])
    return guide


def _measure_prose(grammar: CallGrammar, tools: ToolSchemas) -> float:
    """Return the seconds for a token outside calls: the token, what is forced, the mask."""
    ids = grammar.vocabulary.encode_text(_PROSE)
    seconds = []
    for _ in range(_RUNS):
        guide = grammar.guide(tools, "xml")
        assert guide is not None
        begin = time.perf_counter()
        for token in ids:
            guide.accept((token,))
            guide.forced()
            guide.mask()
        seconds.append((time.perf_counter() - begin) / len(ids))
    return statistics.median(seconds)


def measure_mask(grammar: CallGrammar, tools: ToolSchemas) -> Row:
    """Measure how long it takes to put the mask of a value on one row of logits."""
    logits = mx.random.normal((1, grammar.width))
    guide = _guide(grammar, tools, "xml")
    head = grammar.vocabulary.encode_text("\n<function=write_file>\n<parameter=content>\nimport")
    guide.accept(head)
    mask = guide.mask()
    if mask is None:
        raise BenchError("the grammar does not take a valid call")
    mx.eval(logits)
    seconds = []
    for _ in range(10 * _RUNS):
        begin = time.perf_counter()
        mx.eval(apply_mask(logits, mask))
        seconds.append(time.perf_counter() - begin)
    median = 1e6 * statistics.median(seconds)
    return Row("mask on logits", median, "µs", f"in the median, for {grammar.width:,} logits")
