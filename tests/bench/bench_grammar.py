"""What the grammar costs for each token of a tool call, with a published vocabulary.

Realistic calls of Punie's own tools go through the guide as the engine asks it: the mask, the
token, what is forced after it. Prints, for XML and for JSON, the time in microseconds and how
many of the tokens were forced, and the time for a token of prose:

    python tests/bench/bench_grammar.py [DIRECTORY] [--runs 20]

DIRECTORY holds a tokenizer.json of the Qwen family.
"""

import argparse
import json
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from punie.agent.toolset import argument_schema
from punie.models.mlx.chat.parser import CallSyntax
from punie.models.mlx.chat.values import value_text
from punie.models.mlx.chat.vocabulary import Vocabulary
from punie.models.mlx.guidance.call_guide import CallGrammar
from punie.tools.catalog import ALL_TOOLS

SHARED = Path(__file__).parents[3] / "shared" / "qwen3-coder-30b-a3b"
WIDTH = 151_936
"""Logits of the Qwen3 models, a few more than their vocabulary has tokens."""

CODE = Path(__file__).read_text(encoding="utf-8")[:1_600]
CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("write_file", {"path": "src/bench/grammar.py", "content": CODE}),
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
PROSE = "I look at the settings first; then `client.py` gets a timeout, and a < b holds.\n" * 20


@dataclass
class Costs:
    """Seconds for each token that was decoded, and how many were decoded and forced."""

    mask: list[float] = field(default_factory=list)
    accept: list[float] = field(default_factory=list)
    forced: list[float] = field(default_factory=list)
    decoded: int = 0
    given: int = 0

    def line(self, name: str, seconds: list[float]) -> str:
        """Return one line of the table."""
        values = sorted(1e6 * value for value in seconds)
        tail = values[int(0.95 * len(values))]
        columns = (
            ("median", statistics.median(values)),
            ("mean", statistics.mean(values)),
            ("p95", tail),
            ("max", values[-1]),
        )
        return f"  {name:18}" + "".join(f" {title} {value:7.1f} " for title, value in columns)


def written(name: str, arguments: dict[str, Any], syntax: CallSyntax) -> str:
    """Return what a model writes between the markers."""
    if syntax == "json":
        return f"\n{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}\n"
    values = "".join(
        f"<parameter={key}>\n{value_text(value)}\n</parameter>\n"
        for key, value in arguments.items()
    )
    return f"\n<function={name}>\n{values}</function>\n"


def measure_calls(
    grammar: CallGrammar, tools: dict[str, Any], syntax: CallSyntax, runs: int
) -> Costs:
    """Follow each call as the engine does; the first run fills caches and does not count."""
    opening = grammar.vocabulary.control["<tool_call>"]
    closing = grammar.vocabulary.control["</tool_call>"]
    costs = Costs()
    for run in range(runs + 1):
        if run == 1:
            costs = Costs()
        for name, arguments in CALLS:
            guide = grammar.guide(tools, syntax)
            assert guide is not None
            text = written(name, arguments, syntax)
            ids = [*grammar.vocabulary.encode_text(text), closing]
            guide.accept([opening])
            position = 0
            while position < len(ids):
                begin = time.perf_counter()
                forced = guide.forced()
                costs.forced.append(time.perf_counter() - begin)
                if forced:
                    assert guide.accept(forced) == len(forced), name
                    assert list(forced) == ids[position : position + len(forced)], name
                    position += len(forced)
                    costs.given += len(forced)
                    continue
                begin = time.perf_counter()
                mask = guide.mask()
                middle = time.perf_counter()
                taken = guide.accept(ids[position : position + 1])
                costs.accept.append(time.perf_counter() - middle)
                costs.mask.append(middle - begin)
                assert taken == 1, (name, text)
                assert mask is not None, (name, text)
                position += 1
                costs.decoded += 1
            assert guide.mask() is None
    return costs


def measure_prose(grammar: CallGrammar, tools: dict[str, Any], runs: int) -> float:
    """Return the seconds for a token outside calls: the token, what is forced, the mask."""
    ids = grammar.vocabulary.encode_text(PROSE)
    seconds = []
    for _ in range(runs):
        guide = grammar.guide(tools, "xml")
        assert guide is not None
        begin = time.perf_counter()
        for token in ids:
            guide.accept((token,))
            guide.forced()
            guide.mask()
        seconds.append((time.perf_counter() - begin) / len(ids))
    return statistics.median(seconds)


def measure_application(grammar: CallGrammar, tools: dict[str, Any], runs: int) -> float:
    """Return the seconds for putting the mask of a value on one row of logits, on this device."""
    import mlx.core as mx

    from punie.models.mlx.guidance.masking import apply_mask

    logits = mx.random.normal((1, WIDTH))
    guide = grammar.guide(tools, "xml")
    assert guide is not None
    head = grammar.vocabulary.encode_text("\n<function=write_file>\n<parameter=content>\nimport")
    guide.accept([grammar.vocabulary.control["<tool_call>"], *head])
    mask = guide.mask()
    assert mask is not None
    mx.eval(logits)
    seconds = []
    for _ in range(10 * runs):
        begin = time.perf_counter()
        mx.eval(apply_mask(logits, mask))
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def main(directory: Path, runs: int) -> None:
    """Measure both syntaxes and print the tables."""
    if not (directory / "tokenizer.json").is_file():
        print(
            f"{directory} has no tokenizer.json; pass a directory that has one. Nothing measured."
        )
        return
    vocabulary = Vocabulary.load(directory)
    tools = {tool.name: argument_schema(tool.arguments) for tool in ALL_TOOLS}
    grammar = CallGrammar(vocabulary, WIDTH, [vocabulary.control["<|im_end|>"]])
    begin = time.perf_counter()
    grammar.prepare(tools, "xml")
    print(f"preparing           {time.perf_counter() - begin:.2f} s, once for each model")
    syntaxes: tuple[CallSyntax, ...] = ("xml", "json")
    for syntax in syntaxes:
        begin = time.perf_counter()
        grammar.prepare({**tools, "another": {}}, syntax)
        compiling = time.perf_counter() - begin
        costs = measure_calls(grammar, tools, syntax, runs)
        both = [one + other for one, other in zip(costs.mask, costs.accept, strict=True)]
        tokens = costs.decoded + costs.given
        print(f"{syntax}, {tokens // runs} tokens in {len(CALLS)} calls, microseconds")
        print(costs.line("mask", costs.mask))
        print(costs.line("accept", costs.accept))
        print(costs.line("mask and accept", both))
        print(costs.line("what is forced", costs.forced))
        print(f"  forced tokens      {costs.given / tokens:.0%}")
        print(f"  compiling          {1e3 * compiling:.1f} ms for {len(tools) + 1} tools")
    print(f"prose               {1e6 * measure_prose(grammar, tools, runs):.2f} us for a token")
    applying = measure_application(grammar, tools, runs)
    print(f"mask on logits      {1e6 * applying:.0f} us for {WIDTH:,} logits")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", nargs="?", type=Path, default=SHARED)
    parser.add_argument("--runs", type=int, default=20)
    main(**vars(parser.parse_args()))
