import random
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from punie.models.catalog import resolve_model
from punie.models.load import close_models, forget_session, open_model
from punie.models.mlx.decoding.sampling import Sampling
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import (
    Decoded,
    EngineError,
    Finished,
    GenerateRequest,
    Generation,
    Prefilled,
)
from punie.models.mlx.model import MlxModel
from punie.models.mlx.prefixes.file import read_header
from punie.models.mlx.scheduling.prefill import LARGEST_CHUNK
from punie.models.options import EngineOptions
from tests.models.test_decoding import PatternGuide
from tests.models.tiny_model import build_model, build_recurrent_model

pytestmark = pytest.mark.anyio


@pytest.fixture
async def engine(model_directory: Path) -> AsyncIterator[Engine]:
    opened = Engine()
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
    assert replace(end, passes=0) == Finished("length", prompt=20, cached=0, prefilled=20, output=9)
    assert 0 < end.passes <= 9


async def test_stop_token_ends_and_is_not_among_the_tokens(engine: Engine) -> None:
    request = GenerateRequest(prompt(20), max_tokens=30, sampling=Sampling(1, seed=3))
    tokens, _ = await run(engine, request)
    stop = tokens[5]
    again, end = await run(engine, replace(request, stop_ids=frozenset({stop})))
    assert again == tokens[: tokens.index(stop)]
    assert end.reason == "stop"


async def test_seed_makes_sampling_repeatable(engine: Engine) -> None:
    request = GenerateRequest(prompt(30), max_tokens=20, sampling=Sampling(1.0, top_p=0.9, seed=11))
    first, _ = await run(engine, request)
    second, _ = await run(engine, request)
    other, _ = await run(engine, replace(request, sampling=Sampling(1.0, top_p=0.9, seed=12)))
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
    cold = Engine()
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
    fresh = Engine()
    await fresh.load(Path(engine_directory(engine)))
    try:
        cold, _ = await run(fresh, GenerateRequest(continued, max_tokens=8))
    finally:
        await fresh.aclose()
    assert warm == cold


async def test_cancel_while_prefilling_keeps_what_was_done(engine: Engine) -> None:
    long = prompt(4 * LARGEST_CHUNK + 10)
    done = 0
    async with engine.generate(GenerateRequest(long, max_tokens=5)) as generation:
        async for event in generation:
            if isinstance(event, Prefilled) and event.done:
                done = event.done
                generation.cancel()
            if isinstance(event, Finished):
                assert event.reason == "cancelled"
    assert 0 < done < len(long)
    _, end = await run(engine, GenerateRequest(long, max_tokens=2))
    assert end.cached >= done
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
    class BrokenGuide(PatternGuide):
        def forced(self) -> tuple[int, ...]:
            raise RuntimeError("broken")

    broken = GenerateRequest((1, 2), max_tokens=2, guide=BrokenGuide())
    with pytest.raises(EngineError, match="The model failed: broken"):
        await run(engine, broken)
    with pytest.raises(EngineError, match="tokenizer belongs to another model"):
        await run(engine, GenerateRequest((1, 2**20), max_tokens=2))
    tokens, _ = await run(engine, GenerateRequest(prompt(5), max_tokens=2))
    assert len(tokens) == 2


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
from punie.models.catalog import resolve_model
from punie.models.load import close_models, forget_session, open_model
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


async def test_a_cache_that_cannot_be_trimmed_goes_on_from_a_checkpoint(
    tmp_path: Path,
) -> None:
    build_recurrent_model(tmp_path)
    first = prompt(60)
    second = (*first, *prompt(30, salt=11))
    warm_engine, cold_engine = Engine(), Engine()
    try:
        await warm_engine.load(tmp_path)
        await cold_engine.load(tmp_path)
        checked = GenerateRequest(first, max_tokens=10, checkpoints=((59, "turn"),))
        await run(warm_engine, checked)
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


async def test_a_prompt_can_be_read_ahead(engine: Engine) -> None:
    system = prompt(120)
    ahead = GenerateRequest((*system, 1), max_tokens=0, checkpoints=((120, "system"),))
    tokens, end = await run(engine, ahead)
    assert (tokens, end.reason, end.prefilled) == ([], "length", 120)
    for owner in "ab":
        new = (ord(owner), *prompt(29, salt=11))
        asked = GenerateRequest((*system, *new), max_tokens=2, owner=owner)
        _, end = await run(engine, asked)
        assert (end.cached, end.prefilled) == (120, 30)
        await run(engine, GenerateRequest(prompt(50, salt=13), max_tokens=2))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are listed by Linux")
async def test_a_closed_engine_has_left_the_process(model_directory: Path) -> None:
    """What MLX destroys at the end of a thread must not meet the end of the interpreter."""
    for _ in range(20):
        others = set(threading.enumerate())
        engine = Engine()
        (thread,) = set(threading.enumerate()) - others
        await engine.load(model_directory)
        await engine.aclose()
        assert not Path(f"/proc/self/task/{thread.native_id}").exists()


async def test_released_weights_come_back_with_the_next_request(model_directory: Path) -> None:
    engine = Engine(EngineOptions(idle_seconds=0.2))
    await engine.load(model_directory)
    try:
        request = GenerateRequest(prompt(40), max_tokens=5)
        before, _ = await run(engine, request)
        with anyio.fail_after(30):
            while not engine.is_asleep:
                await anyio.sleep(0.05)
        after, end = await run(engine, request)
        assert after == before
        assert end.prefilled == 40
        assert engine.prefilled_tokens == 80
        assert not engine.is_asleep
    finally:
        await engine.aclose()


async def test_weights_that_are_gone_are_a_sentence(tmp_path: Path) -> None:
    directory = build_model(tmp_path / "model")
    engine = Engine(EngineOptions(idle_seconds=0.1))
    await engine.load(directory)
    try:
        with anyio.fail_after(30):
            while not engine.is_asleep:
                await anyio.sleep(0.05)
        (directory / "model.safetensors").unlink()
        with pytest.raises(EngineError, match="cannot be loaded"):
            await run(engine, GenerateRequest((1, 2), max_tokens=1))
    finally:
        await engine.aclose()


async def test_random_cancels_leave_cache_and_results_true(engine: Engine) -> None:
    """Two hundred cancels at any moment, in company; results stay those of a fresh run."""
    rng = random.Random(7)
    expected: dict[int, list[int]] = {}
    fresh = Engine()
    assert engine.directory is not None
    await fresh.load(engine.directory)
    try:
        for number in range(8):
            expected[number], _ = await run(fresh, long_request(number))
    finally:
        await fresh.aclose()

    async def one(number: int) -> None:
        budget = rng.choice([0, 1, 2, 5, 20, 60])
        seen: list[int] = []
        async with engine.generate(long_request(number)) as generation:
            if budget == 0 and rng.random() < 0.5:
                await anyio.sleep(rng.random() * 0.02)
                generation.cancel()
            async for event in generation:
                if isinstance(event, Decoded):
                    seen.extend(event.tokens)
                if len(seen) >= budget:
                    generation.cancel()
                if isinstance(event, Finished):
                    break
        assert seen == expected[number][: len(seen)]

    for _ in range(50):
        async with anyio.create_task_group() as group:
            for number in rng.sample(range(8), 4):
                group.start_soon(one, number)
    for number in range(8):
        found, _ = await run(engine, long_request(number))
        assert found == expected[number]


def long_request(number: int) -> GenerateRequest:
    return GenerateRequest(
        (*prompt(200), *prompt(60, salt=number + 2)), max_tokens=70, owner=str(number)
    )


async def test_a_deleted_session_leaves_nothing_behind(
    model_directory: Path, tmp_path: Path
) -> None:
    options = EngineOptions(prefix_directory=tmp_path / "prefixes", prefix_bytes=1 << 30)
    for owner in ("kept", "deleted"):
        engine = Engine(options)
        await engine.load(model_directory)
        await run(engine, replace(long_request(3), owner=owner))
        await engine.aclose()
    saved = list((tmp_path / "prefixes").glob("*/*.safetensors"))
    assert len(saved) == 2
    # The model is open and has the session in memory too.
    opened = await open_model(resolve_model(str(model_directory)), options=options)
    assert isinstance(opened, MlxModel)
    try:
        await run(opened.engine, replace(long_request(3), owner="deleted"))
        await forget_session("deleted", options)
        with anyio.fail_after(10):
            while len(list((tmp_path / "prefixes").glob("*/*.safetensors"))) > 1:
                await anyio.sleep(0.02)
    finally:
        await close_models()
    (left,) = (tmp_path / "prefixes").glob("*/*.safetensors")
    with left.open("rb") as file:
        assert read_header(file, left.name).about["owner"] == "kept"
