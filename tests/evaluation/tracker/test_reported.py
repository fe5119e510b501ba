from pathlib import Path

import pytest

from punie.evaluation.errors import EvaluationError
from punie.evaluation.tracker.reported import Reported, read_reported

HEAD = """
[source]
name = "elsewhere"
machine = "a machine"

[benchmarks.one]
title = "one"
measured = "Something."
"""


def _of(model: str, benchmark: str) -> list[Reported]:
    return [
        row for row in read_reported() if row.model.startswith(model) and row.benchmark == benchmark
    ]


def test_the_rows_that_come_with_punie_say_what_was_published() -> None:
    rows = read_reported()
    assert all(row.source and row.machine and row.measured for row in rows)
    (base,) = _of("Qwen2.5 7B, fused, 4 bits", "discrimination, 5 queries")
    assert (base.hits, base.of, base.suite) == (3, 5, "discrimination")
    (last,) = _of("Qwen3-Coder-30B-A3B of phase 28", "57 queries, strict and soft")
    assert (last.hits, last.soft_hits, last.of, last.standing) == (37, 50, 57, "logged")
    memorised = [row for row in rows if row.calls == 0 and row.hits == 6]
    assert [row.standing for row in memorised] == ["claimed"]
    assert {row.suite for row in rows} >= {"discrimination", "protocol-search", "field-access"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("= 3", "is not TOML"),
        ("", "lacks [source]"),
        (HEAD + '[[rows]]\nbenchmark = "two"\nmodel = "m"', "row 1: it names no benchmark"),
        (HEAD + '[[rows]]\nbenchmark = "one"\nmodel = "m"', "it has no figure"),
        (
            HEAD + '[[rows]]\nbenchmark = "one"\nmodel = "m"\nhits = 6\nof = 5',
            "more hits than cases",
        ),
        (HEAD + '[[rows]]\nbenchmark = "one"\nmodel = "m"\nshare = 80', "row 1: share: "),
        (HEAD + '[[rows]]\nbenchmark = "one"\nmodel = "m"\nshare = 0.8\nx = 1', "row 1: x: "),
    ],
)
def test_bad_rows_are_told_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "rows.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(EvaluationError) as caught:
        read_reported(file)
    assert told in str(caught.value)
    assert str(caught.value).startswith(str(file))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_reported(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(EvaluationError, match=r"cannot be read \(not text\)"):
        read_reported(tmp_path / "bytes.toml")
