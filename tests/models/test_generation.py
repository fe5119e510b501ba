"""Tokens on their way from the engine's thread to the one who reads the response."""

import asyncio
import time
from itertools import pairwise

import anyio
import anyio.to_thread
import pytest

from punie.models.mlx.generation import (
    Decoded,
    EngineError,
    EngineEvent,
    Finished,
    GenerateRequest,
    Generation,
    Prefilled,
)

pytestmark = pytest.mark.anyio

END = Finished("stop", 4, 0, 4, 3)


@pytest.fixture
async def generation() -> Generation:
    return Generation(GenerateRequest((1, 2, 3, 4), 100))


async def test_tokens_come_in_order_and_in_batches(generation: Generation) -> None:
    """A client is not told of a fast model's tokens one by one."""
    came: list[tuple[float, EngineEvent]] = []

    def write() -> None:
        generation.post(Prefilled(4, 4))
        for token in range(300):
            generation.post(token)
            time.sleep(0.0005)
        generation.post(END)

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, write)
        async for event in generation:
            came.append((time.monotonic(), event))
    events = [event for _, event in came]
    assert events[0] == Prefilled(4, 4)
    assert events[-1] == END
    decoded = [event for event in events if isinstance(event, Decoded)]
    assert [token for each in decoded for token in each.tokens] == list(range(300))
    times = [at for at, event in came if isinstance(event, Decoded)]
    # The first wakes the reader, and the last comes with the end, which is not kept waiting.
    assert all(later - sooner > 0.008 for sooner, later in pairwise(times[1:-1]))


async def test_a_token_does_not_wait_for_the_next_one(generation: Generation) -> None:
    """The second of two tokens is told although nothing follows it for long."""
    read: list[int] = []
    generation.post(1)
    with anyio.fail_after(30):
        async for event in generation:
            assert isinstance(event, Decoded)
            read += event.tokens
            if read == [1, 2]:
                break
            asyncio.get_running_loop().call_later(0.001, generation.post, 2)


async def test_what_is_no_token_comes_at_once(generation: Generation) -> None:
    generation.post(1)
    told: list[EngineEvent] = []

    async def read() -> None:
        async for event in generation:
            told.append(event)
            generation.post(Prefilled(3, 4) if len(told) == 1 else EngineError("It broke."))

    with anyio.fail_after(30), pytest.raises(EngineError, match="broke"):
        await read()
    assert told == [Decoded((1,)), Prefilled(3, 4)]
