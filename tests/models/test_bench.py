"""The benchmarks' own parts: they see what they are there to see."""

import mmap
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.models import ModelRequestParameters

from punie.models.mlx.bench.conversation import Conversation
from punie.models.mlx.bench.memory import resident_bytes
from punie.models.mlx.bench.page_cache import drop_from_memory, share_in_memory, weight_files
from punie.models.mlx.bench.reuse import surplus_row
from punie.models.mlx.bench.rows import Limit, Row, Sides, Skipped, all_hold, ratio
from punie.models.mlx.bench.suite import (
    ALIKE,
    COMPARISONS,
    MEASUREMENTS,
    Measurement,
    Subject,
)
from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.engine import Engine
from punie.models.mlx.model import MlxModel
from tests.models.families import FamilyDirectories

pytestmark = pytest.mark.anyio


def test_a_row_says_what_it_found() -> None:
    row = Row("first token", 12.34, "ms", "beyond the rest", Limit("at most", 10.0))
    assert row.line() == "first token: 12.3 ms beyond the rest; at most 10.0"
    assert row.holds is False
    assert row.as_json()["limit"] == "at most 10"
    rate = Row("speed", 0.96, "times", "that of another", Limit("at least", 0.95))
    assert rate.holds is True
    share = Row("alike", 100.0, "%", "of 8")
    assert share.line() == "alike: 100.0% of 8"
    assert share.holds is None
    assert all_hold([rate, share, Skipped("more", "there is no time")])
    assert not all_hold([rate, row])
    assert Skipped("more", "there is no time").line() == "more: not measured; there is no time"


def test_a_ratio_is_ours_by_theirs() -> None:
    row = ratio("first token", Sides((30.0, 10.0, 20.0), (40.0, 50.0, 30.0), "ms"), "it")
    assert row.line() == "first token: 0.50 times that of it (20.0 and 40.0 ms, medians of 3)"
    shown = row.as_json()
    assert (shown["value"], shown["ours"], shown["theirs"], shown["in"]) == (0.5, 20, 40, "ms")
    assert (shown["ours_runs"], shown["theirs_runs"]) == ([30, 10, 20], [40, 50, 30])
    once = ratio("memory", Sides((50.0,), (100.0,), "MB"), "it", "after a turn")
    assert once.line() == "memory: 0.50 times that of it after a turn (50 and 100 MB)"


def test_limits_are_met_exactly() -> None:
    assert Limit("at most", 4).holds(4)
    assert not Limit("at most", 4).holds(4.1)
    assert Limit("at least", 4).holds(4)
    assert not Limit("at least", 4).holds(3.9)


async def test_a_conversation_notices_what_is_read_again(
    family_directories: FamilyDirectories,
) -> None:
    directory = family_directories.own("qwen3")
    engine, chat = Engine(), ChatFormat.load(directory)
    await engine.load(directory)
    try:
        one = Conversation(engine, chat, "one")
        await one.turn(0, thinks=False)
        await one.turn(1, thinks=False)
        assert surplus_row("x", one.calls[1:], 0).holds
        engine.forget("one")
        await one.turn(2, thinks=False)
        system = chat.encode(one.messages).checkpoints.system
        lost = one.calls[-2]
        assert lost.surplus > len(lost.prompt) - lost.new - system - 50 > 100
        assert not surplus_row("x", one.calls[1:], 0).holds
    finally:
        await engine.aclose()


async def test_what_cannot_be_measured_is_a_finding(model: MlxModel, tmp_path: Path) -> None:
    async def run(name: str, arguments: Mapping[str, Any]) -> str:
        raise AssertionError("no tool is used")

    subject = Subject(
        model,
        tmp_path,
        ModelRequestParameters(),
        project=lambda _: nullcontext(run),
        say=lambda _: None,
        bundled=False,
        fast_blas=True,
        fits_twice=True,
    )
    grammar = next(one for one in MEASUREMENTS if one.name == "grammar")
    assert await grammar.run(subject) == [Skipped("grammar", "there are no tools to call")]


@pytest.mark.parametrize(
    "measurement", [*MEASUREMENTS, ALIKE, *COMPARISONS], ids=lambda one: one.module
)
def test_measurements_exist(measurement: Measurement) -> None:
    module = __import__(measurement.module, fromlist=["measure"])
    assert callable(module.measure)
    assert measurement.summary.endswith(".")


def test_every_name_is_explained() -> None:
    page = (Path(__file__).parents[2] / "docs/benchmarks.md").read_text(encoding="utf-8")
    table = page.partition("| name | alone |")[2].partition("\n\n")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    explained = {row[0].strip("| `"): row[2].strip(" |") for row in rows}
    assert list(explained) == [one.name for one in MEASUREMENTS]
    compared = [name for name, text in explained.items() if text]
    assert sorted(compared) == sorted(one.name for one in COMPARISONS)


def test_the_system_tells_what_it_holds_of_a_file(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"x" * (1 << 20))
    (tmp_path / "config.json").write_text("{}")
    assert weight_files(tmp_path) == [weights]
    assert share_in_memory([weights]) == 1
    with weights.open("rb") as file:
        os.fsync(file.fileno())  # what is not written yet cannot be let go
    if drop_from_memory([weights]):
        assert share_in_memory([weights]) < 0.5
    assert weights.read_bytes() == b"x" * (1 << 20)


def test_resident_memory_grows_with_what_is_held() -> None:
    before = resident_bytes()
    # Straight from the system: what other tests gave back is not what is handed out.
    with mmap.mmap(-1, 64 << 20) as held:
        held.write(b"x" * len(held))
        assert 50 << 20 < resident_bytes() - before < 200 << 20


def test_memory_of_another_process() -> None:
    program = "x = b'x' * (64 << 20); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 64 << 20 < resident_bytes(process.pid) < 200 << 20
        process.communicate(b"\n")
