import os
import threading

import anyio
import pytest

from punie.wire.outlet import PipeOutlet


@pytest.mark.anyio
async def test_lines_of_all_sizes_leave_in_order() -> None:
    reader, writer = os.pipe()
    received: list[bytes] = []

    def read() -> None:
        while chunk := os.read(reader, 1000):
            received.append(chunk)

    thread = threading.Thread(target=read)
    thread.start()
    outlet = PipeOutlet(writer, lambda: None)
    lines = [b"%d:" % number + b"x" * (number * 37 % 9000) + b"\n" for number in range(300)]
    for number, line in enumerate(lines):
        if number % 3:
            await outlet.write(line)
        else:
            outlet.post(line)
    await outlet.write(b"end\n")
    os.close(writer)
    thread.join()
    os.close(reader)
    assert b"".join(received) == b"".join(lines) + b"end\n"


@pytest.mark.anyio
async def test_a_client_that_reads_nothing_blocks_the_writer_but_not_the_loop() -> None:
    reader, writer = os.pipe()
    outlet = PipeOutlet(writer, lambda: None)
    with anyio.move_on_after(0.3) as scope:
        await outlet.write(b"x" * 1_000_000 + b"\n")
    assert scope.cancelled_caught
    # What was begun still arrives whole once somebody reads.
    data = b""
    while not data.endswith(b"\n"):
        data += await anyio.to_thread.run_sync(os.read, reader, 65536)
    assert len(data) == 1_000_001
    os.close(reader)
    os.close(writer)


@pytest.mark.anyio
@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_a_closed_client_is_noticed_once(size: int) -> None:
    reader, writer = os.pipe()
    broken: list[int] = []
    outlet = PipeOutlet(writer, lambda: broken.append(1))
    os.close(reader)
    with anyio.fail_after(5):
        for _ in range(3):
            await outlet.write(b"x" * size + b"\n")
    assert broken == [1]
    os.close(writer)


@pytest.mark.anyio
async def test_answers_that_nobody_reads_do_not_pile_up_for_ever() -> None:
    reader, writer = os.pipe()
    broken: list[int] = []
    outlet = PipeOutlet(writer, lambda: broken.append(1))
    for _ in range(100):
        outlet.post(b"x" * 1_000_000 + b"\n")
    assert broken == [1]
    os.close(reader)
    os.close(writer)


@pytest.mark.anyio
async def test_a_descriptor_that_somebody_made_non_blocking_works_too() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    outlet = PipeOutlet(writer, lambda: None)
    data = bytearray()

    async def read() -> None:
        while not data.endswith(b"\n"):
            data.extend(await anyio.to_thread.run_sync(os.read, reader, 65536))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await outlet.write(b"y" * 3_000_000 + b"\n")
    assert len(data) == 3_000_001
    os.close(reader)
    os.close(writer)
