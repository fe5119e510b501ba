"""Tool calls that models of random weights write under the grammar: whole and valid, or not.

500 calls over 100 generated tool sets, in both syntaxes and at temperatures from 0 to 1.5, are
written twice: one after the other with drafts, and several at once without. Each goes through
engine, grammar and parser and is checked against its tool's schema:

    python tests/bench/bench_calls.py [--sets 100] [--seed 0]

A random model never ends a text by itself. So whenever it has written for a while, its guide
proposes an end of the value or of the call; where the grammar does not allow that, the model goes
on. A call that the limit of tokens cuts off all the same is counted apart.
"""

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio
import jsonschema

from punie.models.mlx.bench.answers import generate
from punie.models.mlx.bench.rows import Limit, Row, all_hold
from punie.models.mlx.chat.parser import CallSyntax, ToolCall
from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.decoding.sampling import Sampling
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import GenerateRequest
from punie.models.mlx.guidance.call_guide import CallGrammar
from punie.models.mlx.guidance.guide import Guide, TokenMask
from tests.assets import ASSETS
from tests.models.families import Family, FamilyDirectories
from tests.models.tool_sets import Tools, parsed, tool_set

TEMPERATURES = (0.0, 0.4, 0.8, 1.2, 1.5)
OWN: tuple[Family, ...] = ("qwen3", "qwen3_5", "qwen3_moe", "qwen3_next")
PUBLISHED = "Qwen3-Coder-30B-A3B-Instruct"
MOST_TOKENS = 600
PATIENCE = 40
AT_ONCE = 8
SYNTAXES: tuple[CallSyntax, ...] = ("xml", "json")


class OpenedCall:
    """A guide that opens a call and, now and then, proposes how to end what is being written.

    What it does follows from the tokens alone, so that drafts and company change nothing.
    """

    def __init__(
        self, guide: Guide, opening: int, endings: Callable[[list[int]], list[list[int]]]
    ) -> None:
        """`endings` returns, for what was written, the tokens that may end something."""
        self._guide = guide
        self._opening = opening
        self._endings = endings
        self._tokens: list[int] = []
        self._proposed: list[int] = []
        """Counts of tokens at which an ending was proposed and taken."""

    def accept(self, tokens: Sequence[int]) -> int:
        taken = self._guide.accept(tokens)
        self._tokens += tokens[:taken]
        return taken

    def forced(self) -> tuple[int, ...]:
        count = len(self._tokens)
        if count == 0:
            return (self._opening,)
        if forced := self._guide.forced():
            return forced
        if count - (self._proposed[-1] if self._proposed else 0) < PATIENCE:
            return ()
        for ending in self._endings(self._tokens):
            taken = self._guide.accept(ending)
            self._guide.rollback(taken)
            if taken == len(ending):
                self._proposed.append(count)
                return tuple(ending)
        return ()

    def mask(self) -> TokenMask | None:
        return self._guide.mask()

    def rollback(self, count: int) -> None:
        self._guide.rollback(count)
        del self._tokens[len(self._tokens) - count :]
        while self._proposed and self._proposed[-1] >= len(self._tokens):
            self._proposed.pop()


@dataclass(frozen=True)
class Model:
    """A model of random weights."""

    name: str
    engine: Engine
    chat: ChatFormat
    grammar: CallGrammar


@dataclass(frozen=True)
class Job:
    """A call to be written."""

    model: Model
    tools: Tools
    syntax: CallSyntax
    sampling: Sampling

    def request(self, *, speculate: bool) -> GenerateRequest:
        """Return the request; the response ends with the call."""
        vocabulary = self.model.chat.vocabulary
        prompt = self.model.chat.encode([{"role": "user", "content": "Call a tool."}]).tokens
        guide = self.model.grammar.guide(self.tools, self.syntax)
        assert guide is not None
        opening, closing = vocabulary.control["<tool_call>"], vocabulary.control["</tool_call>"]
        return GenerateRequest(
            tuple(prompt),
            MOST_TOKENS,
            sampling=self.sampling,
            stop_ids=frozenset({closing}),
            guide=OpenedCall(guide, opening, self._endings),
            speculate=speculate,
        )

    def _endings(self, tokens: list[int]) -> list[list[int]]:
        vocabulary = self.model.chat.vocabulary
        closing = vocabulary.control["</tool_call>"]
        if self.syntax == "xml":
            ends = ["\n</parameter>\n</function>\n", "</function>\n"]
            # Others would be text in a value to the grammar, and doubtful to the parser.
            text = b"".join(map(vocabulary.token_bytes, tokens)).decode(errors="replace")
            name = re.search("<function=(.*)>", text)
            known = self.tools[name[1]]["properties"] if name else {}
            tags = [f"<parameter={name}>\n" for name in known]
            goes_on = [f"\n</parameter>\n{tag}" for tag in tags if tag not in text]
        else:
            ends = ['"}}\n', "}}\n", "}\n"]
            goes_on = ['"', "]", "}"]
        whole = [[*vocabulary.encode_text(text), closing] for text in ends]
        return [*whole, *map(vocabulary.encode_text, goes_on)]


@dataclass
class Tally:
    """What became of the calls."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    tokens: int = 0
    passes: int = 0

    def add(self, job: Job, tokens: list[int], reason: str) -> None:
        """Judge a response."""
        self.tokens += len(tokens)
        if reason == "length":
            self.outcomes["cut"] += 1
            return
        vocabulary = job.model.chat.vocabulary
        ids = [*tokens, vocabulary.control["</tool_call>"]]
        fault = _fault(parsed(vocabulary, ids, job.tools, job.syntax), job.tools)
        self.outcomes["valid" if fault is None else "invalid"] += 1
        if fault is not None:
            text = b"".join(map(vocabulary.token_bytes, ids)).decode(errors="replace")
            self.faults.append(f"{job.model.name}, {job.syntax}: {fault}\n{text}\n{job.tools}")


def _fault(events: Sequence[object], tools: Tools) -> str | None:
    """Return what is wrong with a response that should be one call."""
    call = events[0] if len(events) == 1 else None
    if not isinstance(call, ToolCall):
        return f"not one call: {events}"
    try:
        jsonschema.validate(call.arguments, tools[call.name])
    except (KeyError, jsonschema.ValidationError) as error:
        return str(error).splitlines()[0]
    return None


async def models(root: Path) -> list[Model]:
    """Make and load the models; the one with the published tokenizer where it is there."""
    directories = FamilyDirectories(root)
    paths: dict[str, Path] = {family: directories.own(family) for family in OWN}
    if (ASSETS / "chat-templates").is_dir():
        paths["qwen3_moe, published tokenizer"] = directories.real("qwen3_moe", PUBLISHED)
    loaded = []
    for name, path in paths.items():
        engine, chat = Engine(cache_bytes=64 << 20), ChatFormat.load(path)
        await engine.load(path)
        assert engine.vocabulary_size is not None
        grammar = CallGrammar(chat.vocabulary, engine.vocabulary_size, chat.stop_ids)
        loaded.append(Model(name, engine, chat, grammar))
    return loaded


def jobs(loaded: Sequence[Model], sets: int, seed: int) -> list[Job]:
    """Return the calls to be written: each set at every temperature."""
    rng = Random(seed)
    found = []
    for number in range(sets):
        tools = tool_set(rng)
        for at, temperature in enumerate(TEMPERATURES):
            sampling = Sampling(temperature, seed=rng.getrandbits(32))
            syntax = SYNTAXES[(number + at) % 2]
            found.append(Job(loaded[number % len(loaded)], tools, syntax, sampling))
    return found


async def measure(sets: int, seed: int) -> int:
    """Write all calls twice and print what became of them; 1 when one is not valid."""
    tally = Tally()
    alike = 0
    with tempfile.TemporaryDirectory() as root:
        loaded = await models(Path(root))
        work = jobs(loaded, sets, seed)
        alone: list[list[int]] = []
        for number, job in enumerate(work):
            tokens, end = await generate(job.model.engine, job.request(speculate=True))
            tally.add(job, tokens, end.reason)
            tally.passes += end.passes
            alone.append(tokens)
            if number % 100 == 99:
                print(f"{number + 1} of {2 * len(work)}", file=sys.stderr, flush=True)
        single = tally.tokens
        together: dict[int, list[int]] = {}

        async def write(number: int, job: Job) -> None:
            async with limit:
                tokens, end = await generate(job.model.engine, job.request(speculate=False))
            tally.add(job, tokens, end.reason)
            together[number] = tokens

        limit = anyio.CapacityLimiter(AT_ONCE * len(loaded))
        async with anyio.create_task_group() as group:
            for number, job in enumerate(work):
                group.start_soon(write, number, job)
        alike = sum(together[number] == tokens for number, tokens in enumerate(alone))
        for model in loaded:
            await model.engine.aclose()
    whole = tally.outcomes["valid"] + tally.outcomes["invalid"]
    names = ", ".join(model.name for model in loaded)
    rows = [
        Row(
            "valid calls",
            100 * tally.outcomes["valid"] / max(whole, 1),
            "%",
            f"of {whole:,} calls over {sets} tool sets ({names}), "
            f"{tally.tokens / (2 * len(work)):.0f} tokens in the mean",
            Limit("at least", 100.0),
        ),
        Row(
            "calls that did not end",
            100 * tally.outcomes["cut"] / (2 * len(work)),
            "%",
            f"within {MOST_TOKENS} tokens",
            Limit("at most", 2.0),
        ),
        Row(
            "the same with drafts and in company",
            100 * alike / len(work),
            "%",
            f"of {len(work):,} calls; {tally.passes / max(single, 1):.2f} passes per token with "
            "drafts",
            Limit("at least", 100.0),
        ),
    ]
    for fault in tally.faults[:5]:
        print(fault)
    for row in rows:
        print(row.line())
    return int(not all_hold(rows))


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    return anyio.run(measure, arguments.sets, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
