import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.evaluation.errors import EvaluationError
from punie.evaluation.results import Result
from punie.evaluation.run_record import (
    RUN,
    begun_run,
    ended_run,
    machine_record,
    percentiles,
    read_run,
    write_run,
)
from punie.evaluation.suite import Check, Verdict
from punie.models.catalog import BUNDLED_ID, resolve_model
from punie.training.provenance import model_hash


def test_a_run_of_the_bundled_model_is_kept_and_read_again(tmp_path: Path) -> None:
    choice = resolve_model(BUNDLED_ID)
    begun = begun_run(choice, [], {"seeds": [1, 2]})
    write_run(tmp_path, begun)
    assert read_run(tmp_path) == begun
    assert begun.ended is None
    assert choice.path is not None
    assert begun.model.weights == model_hash(choice.path)
    assert begun.model.quantisation is not None
    assert begun.machine == machine_record()
    assert begun.machine.memory > 1 << 28


def test_what_a_complete_run_tells_of_its_speed() -> None:
    verdict = Verdict(checks={"solved": Check.of(True)})
    results = [
        Result(
            suite="s",
            item=str(number),
            kind="k",
            verdict=verdict,
            stop="end_turn",
            tokens=10,
            seconds=float(number),
            first_token_seconds=(0.5, number / 10),
        )
        for number in range(1, 101)
    ]
    ended = ended_run(begun_run(resolve_model(BUNDLED_ID), [], {}), results, 20.0, 1 << 30)
    assert ended.ended is not None
    assert ended.tokens_per_second == 50.0
    assert ended.latency is not None
    assert (ended.latency.p50, ended.latency.p90, ended.latency.p99) == (50.0, 90.0, 99.0)
    assert ended.first_token is not None
    assert ended.first_token.of == 200
    assert ended_run(ended, [], 0.0, None).latency is None


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_that_many_values_are_at_most_a_percentile(values: list[float]) -> None:
    found = percentiles(values)
    assert found is not None
    for share, value in ((50, found.p50), (90, found.p90), (99, found.p99)):
        assert value in values
        assert 100 * sum(each <= value for each in values) >= share * len(values)
        assert 100 * sum(each < value for each in values) < share * len(values)


def test_what_is_no_run_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"is not a run of `punie eval`"):
        read_run(tmp_path)
    (tmp_path / RUN).write_bytes(b"\xff\xfe")
    with pytest.raises(EvaluationError, match=r"cannot be read \(not text\)"):
        read_run(tmp_path)
    write_run(tmp_path, begun_run(resolve_model(BUNDLED_ID), [], {}))
    broken = json.loads((tmp_path / RUN).read_text(encoding="utf-8"))
    broken["machine"]["cores"] = "many"
    (tmp_path / RUN).write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(EvaluationError, match=r"record of a run \(machine\.cores: "):
        read_run(tmp_path)
    with pytest.raises(EvaluationError, match="cannot be written"):
        write_run(tmp_path / "gone", begun_run(resolve_model(BUNDLED_ID), [], {}))
