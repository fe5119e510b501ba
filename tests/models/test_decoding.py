"""What is decided stays the same whatever way it is come by: alone, drafted, in a batch."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import anyio
import numpy as np
import pytest

from punie.models.mlx.bench.answers import generate as run
from punie.models.mlx.bench.conversation import Dictation
from punie.models.mlx.decoding.sampling import Sampling
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import Decoded, Finished, FinishReason, GenerateRequest
from punie.models.mlx.guidance.guide import Guide, TokenMask
from tests.models.families import FAMILIES, Family, FamilyDirectories

pytestmark = pytest.mark.anyio

SAMPLINGS = [Sampling(), Sampling(0.8, top_p=0.95, seed=5), Sampling(1.5, top_k=40, seed=6)]


class PatternGuide:
    """After a token that 7 divides only even tokens may follow, after one that 11 divides 3 and 5
    must; everything else is free. `refused` counts what was not accepted."""

    WORDS = 32

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.refused = 0
        self._even = np.full(self.WORDS, 0x55555555, dtype=np.uint32)

    def _must(self) -> list[int]:
        for length, rest in ((1, [3, 5]), (2, [5])):
            start = self.tokens[len(self.tokens) - length :]
            if len(start) == length and start[0] % 11 == 0 and start[1:] == [3, 5][: length - 1]:
                return rest
        return []

    def accept(self, tokens: Sequence[int]) -> int:
        for index, token in enumerate(tokens):
            must = self._must()
            masked = self.mask() is not None and token % 2
            if masked or (must and token != must[0]):
                self.refused += 1
                return index
            self.tokens.append(token)
        return len(tokens)

    def forced(self) -> tuple[int, ...]:
        return tuple(self._must())

    def mask(self) -> TokenMask | None:
        if self._must() or not self.tokens or self.tokens[-1] % 7:
            return None
        return self._even

    def rollback(self, count: int) -> None:
        del self.tokens[len(self.tokens) - count :]


@pytest.fixture(params=FAMILIES)
async def engine(
    request: pytest.FixtureRequest, family_directories: FamilyDirectories
) -> AsyncIterator[Engine]:
    family: Family = request.param
    opened = Engine()
    await opened.load(family_directories.own(family))
    yield opened
    await opened.aclose()


def prompt(number: int) -> tuple[int, ...]:
    """Half of it repeats, so that drafts are found; no two share a beginning."""
    phrase = [(number * 37 + index * index) % 250 for index in range(12)]
    return (number + 100, *phrase, *phrase[3:9], number, *phrase, *phrase[:4])


def request(number: int, sampling: Sampling, *, guided: bool = True) -> GenerateRequest:
    return GenerateRequest(
        prompt(number),
        max_tokens=40 + number,
        sampling=sampling,
        guide=PatternGuide() if guided else None,
    )


_ALONE: dict[tuple[Path | None, int, Sampling, bool], list[int]] = {}


async def alone(engine: Engine, number: int, sampling: Sampling, *, guided: bool) -> list[int]:
    """Return the answer token by token, without drafts or company; it is worked out once."""
    key = (engine.directory, number, sampling, guided)
    if key not in _ALONE:
        plain = replace(request(number, sampling, guided=guided), speculate=False)
        _ALONE[key], _ = await run(engine, plain)
        if guided:
            check_guide(plain.guide, _ALONE[key])
    return _ALONE[key]


def check_guide(guide: Guide | None, tokens: list[int]) -> None:
    assert isinstance(guide, PatternGuide)
    # What it has accepted is what was written; at the limit forced tokens may stand behind it.
    assert guide.tokens[: len(tokens)] == tokens
    for before, after in pairwise(tokens):
        assert after % 2 == 0 or before % 7 or before % 11 == 0
        assert after == 3 or before % 11


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "warm", "hot"])
@pytest.mark.parametrize("guided", [False, True], ids=["free", "guided"])
async def test_drafts_change_nothing(engine: Engine, sampling: Sampling, guided: bool) -> None:
    saved = 0
    for number in range(6):
        drafted = request(number, sampling, guided=guided)
        expected = await alone(engine, number, sampling, guided=guided)
        found, end = await run(engine, drafted)
        assert found == expected
        assert len(found) == end.output == 40 + number
        saved += end.output - end.passes
        if guided:
            check_guide(drafted.guide, found)
    if guided:
        assert saved > 0  # forced tokens are read together


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "warm", "hot"])
@pytest.mark.parametrize("guided", [False, True], ids=["free", "guided"])
async def test_company_changes_nothing(engine: Engine, sampling: Sampling, guided: bool) -> None:
    numbers = range(7)
    expected = {number: await alone(engine, number, sampling, guided=guided) for number in numbers}
    found: dict[int, list[int]] = {}

    async def one(number: int) -> None:
        await anyio.sleep(0.004 * number)  # rows join while others are under way
        together = request(number, sampling, guided=guided)
        found[number], _ = await run(engine, together)
        if guided:
            check_guide(together.guide, found[number])

    async with anyio.create_task_group() as group:
        for number in numbers:
            group.start_soon(one, number)
    assert found == expected


async def test_cancelling_some_leaves_the_others(engine: Engine) -> None:
    expected = {number: await alone(engine, number, Sampling(), guided=True) for number in range(6)}
    found: dict[int, list[int]] = {}

    async def one(number: int) -> None:
        tokens: list[int] = []
        wanted = request(number, Sampling())
        if number % 2:
            # Long enough not to be at its end before the cancel is heard.
            wanted = replace(wanted, max_tokens=1_000)
        async with engine.generate(wanted) as generation:
            async for event in generation:
                if isinstance(event, Decoded):
                    tokens.extend(event.tokens)
                    if number % 2 and len(tokens) > 3 * number:
                        generation.cancel()
                if isinstance(event, Finished):
                    assert event.reason == ("cancelled" if number % 2 else "length")
        found[number] = tokens

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(one, number)
    for number, tokens in found.items():
        common = min(len(tokens), len(expected[number]))
        assert tokens[:common] == expected[number][:common]
        assert number % 2 or tokens == expected[number]


async def test_what_is_kept_of_a_response_is_true(engine: Engine, tmp_path: Path) -> None:
    """After drafts, forced tokens and batches a continued session equals a cold start."""
    answers: dict[int, list[int]] = {}

    async def one(number: int) -> None:
        answers[number], _ = await run(engine, request(number, Sampling()))

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(one, number)
    await one(3)  # this one alone, with drafts
    cold = Engine()
    assert engine.directory is not None
    await cold.load(engine.directory)
    try:
        for number, answer in answers.items():
            longer = GenerateRequest((*prompt(number), *answer, 9, 8, 7), max_tokens=12)
            warm, end = await run(engine, longer)
            expected, _ = await run(cold, longer)
            assert warm == expected
            assert end.cached >= len(prompt(number)) - 1
    finally:
        await cold.aclose()


@pytest.mark.parametrize("ended_by", ["stop", "length"])
async def test_what_is_forced_to_its_end_ends_there_in_company(
    engine: Engine, ended_by: FinishReason
) -> None:
    words, stop = [5, 6, 7, 8, 9], 300
    found: list[list[int]] = []

    async def forced(number: int) -> None:
        request = GenerateRequest(
            prompt(number),
            max_tokens=20 if ended_by == "stop" else len(words),
            stop_ids=frozenset({stop}),
            guide=Dictation([*words, stop]),
        )
        tokens, end = await run(engine, request)
        assert end.reason == ended_by
        found.append(tokens)

    async with anyio.create_task_group() as group:
        group.start_soon(run, engine, GenerateRequest(prompt(20), max_tokens=60))
        for number in range(4):
            await anyio.sleep(0.002)
            group.start_soon(forced, number)
    assert found == [words] * 4
