"""Who gets the next pass: fairness, watched turns first, and memory that is not there."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from punie.models.architecture import read_architecture
from punie.models.machine import machine_memory
from punie.models.memory import KvQuantization, cache_bytes, working_bytes
from punie.models.mlx.bench.answers import generate as run
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import Decoded, EngineError, Finished, GenerateRequest, Prefilled
from punie.models.mlx.scheduling.prefill import LARGEST_CHUNK, SMALLEST_CHUNK, ChunkSize
from punie.models.options import EngineOptions
from tests.models.families import FAMILIES, Family, FamilyDirectories, Size, build_family
from tests.models.held_memory import held_memory

pytestmark = pytest.mark.anyio


def prompt(length: int, salt: int) -> tuple[int, ...]:
    return tuple((index * salt + index // 7) % 250 for index in range(length))


@pytest.fixture
async def engine(family_directories: FamilyDirectories) -> AsyncIterator[Engine]:
    opened = Engine()
    await opened.load(family_directories.own("qwen3"))
    yield opened
    await opened.aclose()


class Order:
    """Notes in which order requests finish."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.finished: list[str] = []

    async def one(self, name: str, request: GenerateRequest) -> None:
        await run(self._engine, request)
        self.finished.append(name)


async def test_a_short_prompt_does_not_wait_for_a_long_one(engine: Engine) -> None:
    order = Order(engine)
    async with anyio.create_task_group() as group:
        group.start_soon(order.one, "long", GenerateRequest(prompt(4_000, 3), max_tokens=1))
        await anyio.sleep(0.05)
        group.start_soon(order.one, "short", GenerateRequest(prompt(20, 5), max_tokens=1))
    assert order.finished == ["short", "long"]


async def test_a_watched_prompt_is_read_before_those_in_the_background(engine: Engine) -> None:
    order = Order(engine)
    async with anyio.create_task_group() as group:
        for number in range(3):
            behind = GenerateRequest(prompt(3_000, 3 + number), 1, priority="background")
            group.start_soon(order.one, "background", behind)
        await anyio.sleep(0.02)
        group.start_soon(order.one, "watched", GenerateRequest(prompt(1_500, 11), max_tokens=1))
    assert order.finished[0] == "watched"


async def test_writing_goes_on_while_others_are_read(engine: Engine) -> None:
    """Between two chunks of somebody's prompt a response that is being written gets its passes."""
    seen: list[str] = []

    async def write() -> None:
        async with engine.generate(GenerateRequest(prompt(30, 3), max_tokens=4000)) as generation:
            async for event in generation:
                if isinstance(event, Decoded):
                    seen.append("written")
                if seen.count("read") >= 8:
                    break

    async def read() -> None:
        asked = GenerateRequest(prompt(30_000, 5), max_tokens=1, priority="background")
        async with engine.generate(asked) as generation:
            async for event in generation:
                if isinstance(event, Prefilled):
                    seen.append("read")
                if seen.count("read") >= 8:
                    break

    async with anyio.create_task_group() as group:
        group.start_soon(write)
        while "written" not in seen:
            await anyio.sleep(0.01)
        group.start_soon(read)
    first = seen.index("read")
    assert "written" in seen[first : len(seen) - 1 - seen[::-1].index("read")]


async def test_more_than_fit_at_once_are_all_served(engine: Engine) -> None:
    order = Order(engine)
    async with anyio.create_task_group() as group:
        for number in range(40):
            asked = GenerateRequest(prompt(10 + number, 3), max_tokens=3 + number % 5)
            group.start_soon(order.one, str(number), asked)
    assert sorted(order.finished, key=int) == [str(number) for number in range(40)]


def test_chunks_follow_speed_patience_and_memory() -> None:
    chunk = ChunkSize()
    for _ in range(20):
        chunk.record(256, seconds=256 / 200)  # a big dense model: 200 tokens a second
    assert chunk.tokens(lambda size: True, beside_others=False) == 64
    assert chunk.tokens(lambda size: True, beside_others=True) == SMALLEST_CHUNK
    for _ in range(20):
        chunk.record(1024, seconds=0.1)
    assert chunk.tokens(lambda size: True, beside_others=False) == LARGEST_CHUNK
    assert chunk.tokens(lambda size: size <= 512, beside_others=False) == 512
    assert chunk.tokens(lambda size: False, beside_others=False) == SMALLEST_CHUNK


@pytest.fixture(scope="module")
def wide_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and values of 8 KB for each token, and a head that can be packed."""
    return build_family(
        tmp_path_factory.mktemp("wide") / "qwen3", "qwen3", size=Size(hidden=128, heads=4, layers=4)
    )


async def small(directory: Path, spare: int) -> Engine:
    """Return an engine that may hold only `spare` bytes beside its weights."""
    return await within(directory, await weight_bytes(directory) + spare)


async def weight_bytes(directory: Path) -> int:
    """Return what MLX holds with the model loaded."""
    probe = Engine()
    await probe.load(directory)
    weights = held_memory()
    await probe.aclose()
    return weights


async def within(directory: Path, limit: int) -> Engine:
    engine = Engine(EngineOptions(memory_limit=limit))
    await engine.load(directory)
    return engine


async def test_a_prompt_that_cannot_fit_is_refused_before_it_is_read(wide_directory: Path) -> None:
    engine = await small(wide_directory, 8_000_000)
    try:
        with pytest.raises(EngineError, match=r"30,000 tokens and needs about .* are left beside"):
            await run(engine, GenerateRequest(prompt(30_000, 3), max_tokens=5))
        assert engine.prefilled_tokens == 0
        tokens, _ = await run(engine, GenerateRequest(prompt(100, 3), max_tokens=5))
        assert len(tokens) == 5
    finally:
        await engine.aclose()


async def test_what_is_kept_makes_room(wide_directory: Path) -> None:
    engine = await small(wide_directory, 16_000_000)
    try:
        for salt in (3, 5, 7, 11, 13, 17):
            asked = GenerateRequest(prompt(400, salt), max_tokens=4, owner=str(salt))
            tokens, _ = await run(engine, asked)
            assert len(tokens) == 4
    finally:
        await engine.aclose()


async def test_two_that_do_not_fit_together_run_one_after_the_other(wide_directory: Path) -> None:
    engine = await small(wide_directory, 9_000_000)
    try:
        asked = [GenerateRequest(prompt(500, salt), max_tokens=20) for salt in (3, 5, 7)]
        alone = [(await run(engine, request))[0] for request in asked]
        together: dict[int, list[int]] = {}

        async def one(number: int) -> None:
            together[number], _ = await run(engine, asked[number])

        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(one, number)
        assert [together[number] for number in range(3)] == alone
    finally:
        await engine.aclose()


async def test_keys_are_packed_before_a_conversation_is_refused(wide_directory: Path) -> None:
    """There is room for the tokens at eight bits each and not at sixteen."""
    architecture = read_architecture(json.loads((wide_directory / "config.json").read_text()))
    assert architecture is not None
    tokens = 3_000
    packed = cache_bytes(architecture, tokens + 20, KvQuantization(8, 32))
    plain = cache_bytes(architecture, tokens + 20)
    assert packed < 0.6 * plain
    working = working_bytes(architecture, tokens + 20, SMALLEST_CHUNK, metal=False)
    engine = await small(wide_directory, (packed + plain) // 2 + working)
    try:
        answer, end = await run(engine, GenerateRequest(prompt(tokens, 3), max_tokens=20))
        assert (len(answer), end.prefilled) == (20, tokens)
        following = GenerateRequest((*prompt(tokens, 3), *answer, 5, 6), max_tokens=5)
        _, end = await run(engine, following)
        assert end.prefilled == 2
        with pytest.raises(EngineError, match="are left beside"):
            await run(engine, GenerateRequest(prompt(20_000, 5), max_tokens=20))
    finally:
        await engine.aclose()


@pytest.mark.parametrize("family", ["qwen3", "qwen3_next"])
async def test_what_is_said_to_fit_does_fit(family: Family, tmp_path: Path) -> None:
    """The window that memory leaves is one that is admitted, also when much else is kept."""
    size = Size(hidden=64, heads=1, layers=4)
    directory = build_family(tmp_path / "model", family, size=size, window=1 << 20)
    limit = await weight_bytes(directory) + 6_000_000
    engine = await within(directory, limit)
    try:
        most = engine.most_tokens
        assert most is not None
        assert 1_000 < most < 20_000
        for salt in (3, 5):
            asked = GenerateRequest(prompt(300, salt), max_tokens=4, owner=str(salt))
            await run(engine, asked)
        _, end = await run(engine, GenerateRequest(prompt(most - 5, 7), max_tokens=5))
        assert (end.prompt, end.output) == (most - 5, 5)
        # Memory that engines before this one give back meanwhile counts as free, so this is more
        # than fits into all of the limit.
        architecture = read_architecture(json.loads((directory / "config.json").read_text()))
        assert architecture is not None
        too_many = 2 * most
        while cache_bytes(architecture, too_many, KvQuantization(8, 32)) <= limit:
            too_many *= 2
        assert too_many < architecture.window
        with pytest.raises(EngineError, match="are left beside"):
            await run(engine, GenerateRequest(prompt(too_many, 11), max_tokens=5))
    finally:
        await engine.aclose()


async def test_the_machines_own_limit_lets_small_models_run(engine: Engine) -> None:
    assert machine_memory().available > 0
    tokens, _ = await run(engine, GenerateRequest(prompt(2_000, 3), max_tokens=3))
    assert len(tokens) == 3


@pytest.mark.parametrize("family", FAMILIES)
async def test_every_family_is_admitted_and_counts_what_it_reads(
    family: Family, family_directories: FamilyDirectories
) -> None:
    engine = Engine()
    await engine.load(family_directories.own(family))
    try:
        request = GenerateRequest(prompt(700, 3), max_tokens=4, owner="a")
        _, end = await run(engine, request)
        assert replace(end, passes=0) == Finished("length", 700, 0, 700, 4)
    finally:
        await engine.aclose()
