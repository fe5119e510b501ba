import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from punie.models.mlx.engine import PREFILL_STEP, Engine
from punie.models.mlx.generation import (
    Decoded,
    EngineError,
    Finished,
    GenerateRequest,
    Generation,
    Prefilled,
)
from punie.models.mlx.prefix_cache import common_prefix
from tests.models.tiny_model import build_recurrent_model

pytestmark = pytest.mark.anyio


@pytest.fixture
async def engine(model_directory: Path) -> AsyncIterator[Engine]:
    opened = Engine(slots=3)
    await opened.load(model_directory)
    yield opened
    await opened.aclose()


async def drain(generation: Generation) -> tuple[list[int], Finished]:
    tokens: list[int] = []
    async for event in generation:
        if isinstance(event, Decoded):
            tokens.extend(event.tokens)
        elif isinstance(event, Finished):
            return tokens, event
    raise AssertionError("the generation did not finish")


async def run(engine: Engine, request: GenerateRequest) -> tuple[list[int], Finished]:
    async with engine.generate(request) as generation:
        return await drain(generation)


def prompt(length: int, salt: int = 7) -> tuple[int, ...]:
    return tuple((index * salt + index // 5) % 256 for index in range(length))


async def test_generates_up_to_the_limit_and_reports_counts(engine: Engine) -> None:
    tokens, end = await run(engine, GenerateRequest(prompt(20), max_tokens=9))
    assert len(tokens) == 9
    assert end == Finished("length", prompt=20, cached=0, prefilled=20, output=9)


async def test_stop_token_ends_and_is_not_among_the_tokens(engine: Engine) -> None:
    tokens, _ = await run(engine, GenerateRequest(prompt(20), max_tokens=30, temperature=1, seed=3))
    stop = tokens[5]
    first = tokens.index(stop)
    request = GenerateRequest(
        prompt(20), max_tokens=30, temperature=1, seed=3, stop_ids=frozenset({stop})
    )
    again, end = await run(engine, request)
    assert again == tokens[:first]
    assert end.reason == "stop"


async def test_seed_makes_sampling_repeatable(engine: Engine) -> None:
    request = GenerateRequest(prompt(30), max_tokens=20, temperature=1.0, top_p=0.9, seed=11)
    first, _ = await run(engine, request)
    second, _ = await run(engine, request)
    other, _ = await run(engine, replace(request, seed=12))
    assert first == second != other


async def test_turn_two_prefills_only_what_is_new(engine: Engine) -> None:
    first = prompt(700)
    answer, _ = await run(engine, GenerateRequest(first, max_tokens=12))
    before = engine.prefilled_tokens
    second = (*first, *answer, *prompt(40, salt=3))
    fresh, end = await run(engine, GenerateRequest(second, max_tokens=5))
    assert end.cached == len(first) + len(answer)
    assert engine.prefilled_tokens - before == end.prefilled == 40
    # And the result is what a cold engine computes.
    cold = Engine(slots=1)
    await cold.load(Path(engine_directory(engine)))
    try:
        expected, _ = await run(cold, GenerateRequest(second, max_tokens=5))
    finally:
        await cold.aclose()
    assert fresh == expected


def engine_directory(engine: Engine) -> str:
    assert engine.directory is not None
    return str(engine.directory)


async def test_the_same_prompt_again_prefills_one_token(engine: Engine) -> None:
    request = GenerateRequest(prompt(100), max_tokens=6)
    first, _ = await run(engine, request)
    second, end = await run(engine, request)
    assert first == second
    assert (end.cached, end.prefilled) == (99, 1)


async def test_sessions_do_not_take_each_others_cache(engine: Engine) -> None:
    system = prompt(300)
    one, two = (*system, *prompt(200, salt=3)), (*system, *prompt(200, salt=5))
    answer_one, _ = await run(engine, GenerateRequest(one, max_tokens=4))
    answer_two, end = await run(engine, GenerateRequest(two, max_tokens=4))
    assert 300 <= end.cached < 320  # the shared beginning, as a copy
    _, end = await run(engine, GenerateRequest((*one, *answer_one, 9, 9, 9), max_tokens=1))
    assert end.prefilled == 3
    _, end = await run(engine, GenerateRequest((*two, *answer_two, 8, 8), max_tokens=1))
    assert end.prefilled == 2


async def test_cancel_while_decoding_leaves_a_true_cache(engine: Engine) -> None:
    request = GenerateRequest(prompt(50), max_tokens=2000)
    seen: list[int] = []
    async with engine.generate(request) as generation:
        async for event in generation:
            if isinstance(event, Decoded):
                seen.extend(event.tokens)
            if len(seen) >= 5:
                break
    continued = (*prompt(50), *seen, 4, 5, 6)
    warm, end = await run(engine, GenerateRequest(continued, max_tokens=8))
    assert end.cached >= 50 + 5
    fresh = Engine(slots=1)
    await fresh.load(Path(engine_directory(engine)))
    try:
        cold, _ = await run(fresh, GenerateRequest(continued, max_tokens=8))
    finally:
        await fresh.aclose()
    assert warm == cold


async def test_cancel_while_prefilling_keeps_what_was_done(engine: Engine) -> None:
    long = prompt(PREFILL_STEP * 4 + 10)
    done = 0
    async with engine.generate(GenerateRequest(long, max_tokens=5)) as generation:
        async for event in generation:
            if isinstance(event, Prefilled) and event.done:
                done = event.done
                generation.cancel()
            if isinstance(event, Finished):
                assert event.reason == "cancelled"
    assert PREFILL_STEP <= done < len(long)
    _, end = await run(engine, GenerateRequest(long, max_tokens=2))
    assert end.cached >= PREFILL_STEP
    assert end.cached + end.prefilled == len(long)


async def test_cancelled_scope_frees_the_engine_for_the_next_request(engine: Engine) -> None:
    with anyio.move_on_after(0.2) as scope:
        await run(engine, GenerateRequest(prompt(10), max_tokens=1_000_000))
    assert scope.cancelled_caught
    with anyio.fail_after(30):
        tokens, _ = await run(engine, GenerateRequest(prompt(15), max_tokens=3))
    assert len(tokens) == 3


async def test_requests_are_served_in_the_order_they_came(engine: Engine) -> None:
    finished: list[int] = []

    async def work(number: int) -> None:
        await run(engine, GenerateRequest(prompt(10 + number), max_tokens=4))
        finished.append(number)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(work, number)
            await anyio.sleep(0)
    assert finished == [0, 1, 2, 3, 4]


async def test_a_failure_is_one_sentence_and_the_engine_goes_on(engine: Engine) -> None:
    with pytest.raises(EngineError, match="The model failed"):
        await run(engine, GenerateRequest((1, 2), max_tokens=2, seed=-(2**70)))
    with pytest.raises(EngineError, match="tokenizer belongs to another model"):
        await run(engine, GenerateRequest((1, 2**20), max_tokens=2))
    tokens, _ = await run(engine, GenerateRequest(prompt(5), max_tokens=2))
    assert len(tokens) == 2


async def test_least_recently_used_prompt_is_forgotten(engine: Engine) -> None:
    for salt in (3, 5, 7, 11):
        await run(engine, GenerateRequest(tuple([salt] * 40), max_tokens=1))
    _, end = await run(engine, GenerateRequest(tuple([3] * 40), max_tokens=1))
    assert end.cached == 0
    _, end = await run(engine, GenerateRequest(tuple([11] * 40), max_tokens=1))
    assert end.cached == 39


async def test_closing_ends_what_is_running(model_directory: Path) -> None:
    engine = Engine()
    await engine.load(model_directory)
    with anyio.fail_after(60):
        async with engine.generate(GenerateRequest(prompt(5), max_tokens=10**9)) as generation:
            await engine.aclose()
            _, end = await drain(generation)
    assert end.reason == "cancelled"


def test_a_process_that_exits_while_generating_ends_cleanly(model_directory: Path) -> None:
    code = f"""
import anyio
from pathlib import Path
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import GenerateRequest

async def main():
    engine = Engine()
    await engine.load(Path({str(model_directory)!r}))
    context = engine.generate(GenerateRequest((1, 2, 3), 10**9))
    generation = await context.__aenter__()
    async for _ in generation:
        raise SystemExit(3)

anyio.run(main)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert ended.returncode == 3, ended.stderr


async def test_closed_engine_refuses(model_directory: Path) -> None:
    engine = Engine()
    await engine.load(model_directory)
    await engine.aclose()
    with pytest.raises(EngineError, match="closed"):
        await run(engine, GenerateRequest((1, 2), max_tokens=1))
    await engine.aclose()


async def test_a_cache_that_cannot_be_trimmed_goes_on_from_the_end_of_the_prompt(
    tmp_path: Path,
) -> None:
    build_recurrent_model(tmp_path)
    first = prompt(60)
    second = (*first, *prompt(30, salt=11))
    warm_engine, cold_engine = Engine(), Engine()
    try:
        await warm_engine.load(tmp_path)
        await cold_engine.load(tmp_path)
        await run(warm_engine, GenerateRequest(first, max_tokens=10))
        warm, end = await run(warm_engine, GenerateRequest(second, max_tokens=10))
        cold, _ = await run(cold_engine, GenerateRequest(second, max_tokens=10))
    finally:
        await warm_engine.aclose()
        await cold_engine.aclose()
    assert warm == cold
    assert (end.cached, end.prefilled) == (59, 31)


async def test_tokens_arrive_while_more_are_generated(engine: Engine) -> None:
    batches: list[int] = []
    async with engine.generate(GenerateRequest(prompt(10), max_tokens=600)) as generation:
        async for event in generation:
            if isinstance(event, Decoded):
                batches.append(len(event.tokens))
    assert sum(batches) == 600
    assert len(batches) >= 4
    assert batches[0] < 100


@pytest.mark.parametrize("length", [0, 1, 1023, 1024, 1025, 3000])
def test_common_prefix(length: int) -> None:
    left = list(range(4000))
    right = [*left[:length], -1, *left[length + 1 :]]
    assert common_prefix(left, right) == length
    assert common_prefix(left, left[:length]) == length
    assert common_prefix(left[:length], left) == length
