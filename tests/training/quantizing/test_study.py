import json
from pathlib import Path

import pytest

from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example
from punie.training.errors import TrainingError
from punie.training.progress import Interrupted, Progress
from punie.training.quantizing.study import (
    Cell,
    QuantizationStudy,
    StudyOptions,
    Way,
    study_quantization,
    table,
)
from tests.training.sample_conversations import conversations
from tests.training.sample_models import write_adapter, write_model

OPTIONS = StudyOptions(bits=(2,), group_size=32, examples=3)


def cell(way: Way, bits: int | None, seed: int | None, right: int, of: int = 10) -> Cell:
    exact = tuple(place < right for place in range(of))
    return Cell(way=way, bits=bits, seed=seed, bits_per_weight=5.0, loss=1.0, exact=exact)


def test_what_is_kept_of_the_effect() -> None:
    study = QuantizationStudy(
        options=OPTIONS,
        base="b",
        dataset="d",
        adapters={0: "a", 1: "a"},
        cells=(
            cell("base", None, None, 2),
            cell("fused", None, 0, 8),
            cell("fused", None, 1, 6),
            cell("quantized base", 2, None, 1),
            cell("fused, then quantized", 2, 0, 7),
            cell("fused, then quantized", 2, 1, 3),
            cell("fused into quantized", 2, 0, 1),
            cell("fused into quantized", 2, 1, 1),
        ),
    )
    rows = {(row.way, row.bits): row for row in study.rows()}
    # (7 - 1) of (8 - 2), and (3 - 1) of (6 - 2).
    kept = rows["fused, then quantized", 2].kept
    assert kept is not None
    assert (round(kept.value, 9), kept.of) == (0.75, 2)
    into = rows["fused into quantized", 2]
    assert into.kept is not None
    assert into.kept.value == 0.0
    assert into.against_full is not None
    assert (into.against_full.lost, into.against_full.gained) == (12, 0)
    assert into.against_full.is_worse
    full = rows["fused", None]
    assert full.kept is not None
    assert full.kept.value == 1.0
    assert (full.exact.hits, full.exact.of) == (14, 20)
    assert rows["base", None].kept is None
    assert rows["base", None].against_full is None
    lines = table(study)
    assert len(lines) == 2 + 5
    assert all(line.count("|") == 7 for line in lines)


def test_nothing_is_kept_of_an_adapter_that_changed_nothing() -> None:
    cells = (cell("base", None, None, 3), cell("fused", None, 0, 3))
    study = QuantizationStudy(options=OPTIONS, base="", dataset="", adapters={0: ""}, cells=cells)
    assert [row.kept for row in study.rows()] == [None, None]


def test_the_grid_is_measured_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    adapters = {7: write_adapter(tmp_path / "adapter", base)}
    dataset = tmp_path / "dataset"
    examples = [Example.model_validate({"messages": each}) for each in conversations(4)]
    write_dataset(dataset, Manifest(made_by="test"), {"test": examples})
    whole = study_quantization(OPTIONS, base, adapters, dataset, tmp_path / "whole")
    assert len(whole.cells) == 5
    assert [file.name for file in (tmp_path / "whole").iterdir()] == ["study.json"]
    losses = {each.way: each.loss for each in whole.cells}
    assert len(set(losses.values())) == len(losses)

    seen: list[Progress] = []

    def stopped() -> bool:
        return bool(seen) and seen[-1].done == 3

    with pytest.raises(Interrupted, match="3 of 5"):
        study_quantization(OPTIONS, base, adapters, dataset, tmp_path / "out", seen.append, stopped)
    cells = tmp_path / ".out.unfinished" / "cells"
    assert sorted(file.name for file in cells.iterdir()) == [
        "base.json",
        "fused-7.json",
        "quantized-base-2.json",
    ]
    marked = cells / "base.json"
    changed = json.loads(marked.read_text()) | {"loss": 123.0}
    marked.write_text(json.dumps(changed))
    again = study_quantization(OPTIONS, base, adapters, dataset, tmp_path / "out")
    # What was measured before was taken as it was, and the rest is as in one go.
    assert again.cells[0].loss == 123.0
    assert again.cells[1:] == whole.cells[1:]


def test_inputs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    dataset = tmp_path / "dataset"
    examples = [Example.model_validate({"messages": each}) for each in conversations(2)]
    write_dataset(dataset, Manifest(made_by="test"), {"train": examples})
    with pytest.raises(TrainingError, match="no adapter to study"):
        study_quantization(OPTIONS, base, {}, dataset, tmp_path / "out")
    adapter = write_adapter(tmp_path / "adapter", base)
    with pytest.raises(TrainingError, match="no part 'test'"):
        study_quantization(OPTIONS, base, {0: adapter}, dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()
