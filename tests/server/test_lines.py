"""The ends of a connection: in order, bounded, and never waiting for ever."""

import contextlib

import anyio
import pytest

from punie.server.lines import SocketInlet, SocketOutlet

pytestmark = pytest.mark.anyio


async def test_lines_leave_in_the_order_of_the_calls() -> None:
    sent: list[bytes] = []

    async def send(data: bytes) -> None:
        await anyio.sleep(0)
        sent.append(data)

    outlet = SocketOutlet(send, lambda: None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outlet.run)
        for number in range(20):
            if number % 3:
                outlet.post(b"%d" % number)
            else:
                await outlet.write(b"%d" % number)
                assert sent[-1] == b"%d" % number
        outlet.close()
        await outlet.finished.wait()
    assert sent == [b"%d" % number for number in range(20)]


async def test_a_client_that_does_not_read_is_given_up() -> None:
    broken: list[int] = []

    async def send(_: bytes) -> None:
        await anyio.sleep_forever()

    outlet = SocketOutlet(send, lambda: broken.append(1), patience=0.05)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outlet.run)
            tasks.start_soon(outlet.write, b"first")
            await outlet.write(b"second")
            await outlet.write(b"after it")
            outlet.post(b"after it")
    assert broken == [1]


async def test_what_waits_is_bounded() -> None:
    broken: list[int] = []

    async def send(_: bytes) -> None:
        await anyio.sleep_forever()

    outlet = SocketOutlet(send, lambda: broken.append(1), backlog_limit=1000)
    for _ in range(200):
        outlet.post(b"x" * 10)
    assert broken == [1]
    with anyio.fail_after(1):
        await outlet.run()


async def test_a_client_that_has_gone_is_noticed_once() -> None:
    broken: list[int] = []

    async def send(_: bytes) -> None:
        raise ConnectionResetError

    outlet = SocketOutlet(send, lambda: broken.append(1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outlet.run)
        await outlet.write(b"line")
        await outlet.write(b"line")
    assert broken == [1]


async def test_the_way_in_keeps_order_and_ends() -> None:
    inlet = SocketInlet()
    got: list[bytes | None] = []

    async def put() -> None:
        for number in range(50):
            await inlet.put(None if number == 7 else b"%d" % number)
        inlet.stop()
        await inlet.put(b"after the end")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put)
        with contextlib.suppress(anyio.EndOfStream):
            while True:
                got.extend(await inlet.receive())
    assert got == [None if number == 7 else b"%d" % number for number in range(50)]
