import anyio
import pytest

from punie.agent.coalesce import Coalescer

pytestmark = pytest.mark.anyio


async def test_keys_are_never_mixed_and_order_is_kept() -> None:
    sent: list[tuple[str, str]] = []

    async def send(key: str, text: str) -> None:
        await anyio.lowlevel.checkpoint()
        sent.append((key, text))

    async with anyio.create_task_group() as group:
        coalescer = Coalescer(send, interval=0.001, limit=50)
        group.start_soon(coalescer.pump)
        said: list[tuple[str, str]] = []
        for number in range(300):
            key = "ab"[number // 7 % 2]
            await coalescer.add(key, f"{number},")
            said.append((key, f"{number},"))
            if number % 50 == 0:
                await anyio.sleep(0.003)
        await coalescer.flush()
        group.cancel_scope.cancel()
    for wanted in "ab":
        assert "".join(t for k, t in sent if k == wanted) == "".join(
            t for k, t in said if k == wanted
        )
    assert "".join(text for _, text in sent) == "".join(text for _, text in said)
    assert all(len(text) < 60 for _, text in sent)


async def test_waiting_text_is_sent_without_another_piece() -> None:
    arrived = anyio.Event()

    async def send(key: str, text: str) -> None:
        assert text == "onetwo"
        arrived.set()

    async with anyio.create_task_group() as group:
        coalescer = Coalescer(send, interval=0.01)
        group.start_soon(coalescer.pump)
        await coalescer.add("k", "one")
        await coalescer.add("k", "two")
        await coalescer.add("k", "")
        with anyio.fail_after(10):
            await arrived.wait()
        group.cancel_scope.cancel()
