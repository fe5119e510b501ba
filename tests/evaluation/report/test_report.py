"""The report of a run: its figures, its cuts, and what it says of another run."""

import os
import sys
from pathlib import Path

import pytest

from punie.evaluation.errors import EvaluationError
from punie.evaluation.report.writing import REPORT, write_report
from punie.evaluation.results import RESULTS, Result
from punie.evaluation.run_record import RUN
from punie.evaluation.suite import Check, Verdict
from punie.training.data.example import Message
from tests.evaluation.report.pages import Node, parsed
from tests.evaluation.report.runs import result, run_folder


def report(folder: Path, baseline: Path | None = None) -> Node:
    return parsed(write_report(folder, baseline).read_text(encoding="utf-8"))


def items(page: Node) -> list[str]:
    return [each.all("span", class_="name")[0].text for each in page.all("details", class_="item")]


def text_of(page: Node) -> str:
    return " ".join(page.text.split())


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A run of two suites: four results of one, one of the other."""
    results = [
        result("a", True),
        result("b", False, soft=True, kind="long"),
        result("c", False, malformed=2, stop="max_tokens"),
        result("d", True, kind="long", seconds=90.0),
        result("e", False, suite="writing", trouble="The engine ended."),
    ]
    return run_folder(tmp_path / "run", results)


def test_it_says_what_was_run_and_what_came_of_it(plain: Path) -> None:
    page = report(plain)
    known = {
        each.all("dt")[0].text: each.all("dd")[0].text
        for each in page.all("div")[:30]
        if each.all("dt")
    }
    assert known["model"] == "some-model"
    assert known["weights"] == "0" * 64
    assert known["machine"] == "A <processor>, Linux x86_64, 2 cores, 8.6 GB"
    assert known["memory at most"] == "3.2 GB"
    assert known["options"] == "temperature = 0.0, seeds = [1]"
    assert known["begun"] == "2026-01-02 03:04 UTC"
    assert known["speed"] == "16.7 tokens/s over all sessions together; 200 tokens written in 12 s"
    assert page.rows("All suites") == [
        ["reading", "1", "50.0% 15.0% to 85.0%", "75.0% 30.1% to 95.4%", "4", "4", "–"],
        ["writing", "1", "0.0% 0.0% to 79.3%", "0.0% 0.0% to 79.3%", "1", "1", "1"],
    ]
    (reading,) = page.all("section", id="suite-reading")
    assert [row[0] for row in reading.rows("What was judged")] == ["solved", "tool"]
    assert reading.rows("Solved by kind") == [
        ["long", "50.0% 9.5% to 90.5%", "100.0% 34.2% to 100.0%", "2"],
        ["short", "50.0% 9.5% to 90.5%", "50.0% 9.5% to 90.5%", "2"],
    ]
    assert reading.rows("Measures") == [["recall", "0.75", "0.75", "0.5", "1", "4"]]
    assert page.rows("Time")[:2] == [
        ["reading: items", "2 s", "1 min 30 s", "1 min 30 s", "1 min 30 s", "4"],
        ["reading: first tokens", "100 ms", "250 ms", "250 ms", "250 ms", "8"],
    ]
    assert page.rows("Work")[0] == [
        "reading",
        "2",
        "1",
        "160",
        "400",
        "2",
        "–",
        "–",
        "1 (25%)",
        "–",
    ]


def test_the_worst_comes_first_with_what_was_due_and_done(plain: Path) -> None:
    page = report(plain)
    assert items(page) == ["writing/e", "reading/c", "reading/b", "reading/a", "reading/d"]
    outcomes = [each.attributes["data-outcome"] for each in page.all("details", class_="item")]
    assert outcomes == ["trouble", "failed", "soft", "solved", "solved"]
    trouble, failed, *_ = page.all("details", class_="item")
    assert "The engine ended." in trouble.all("summary")[0].text
    assert "The wrong file was read." in failed.all("summary")[0].text
    assert '"path": "due.py"' in failed.text
    assert 'read_file {"path": "c.py"}' in failed.text
    assert "The answer for c." in failed.text
    assert "ended bymax tokens" in failed.text
    assert "Line 3 of results.jsonl" in failed.text


def test_it_needs_nothing_else_and_is_named_throughout(plain: Path) -> None:
    page = report(plain)
    assert [each.attributes for each in page.all("script")] == [{}]
    assert not page.all("link")
    (picture,) = page.all("img")
    assert (picture.attributes["src"] or "").startswith("data:image/svg+xml,")
    assert "reading: 50% strictly, 75% softly" in (picture.attributes["alt"] or "")
    assert all(each.all("caption")[0].text for each in page.all("table"))
    assert [each.text for each in page.all("h1")] == ["Evaluation of some-model"]
    # Links lead to what is there, and nowhere else.
    targets = {
        f"#{each.attributes['id']}"
        for tag in ("section", "div")
        for each in page.all(tag)
        if "id" in each.attributes
    }
    assert {each.attributes["href"] for each in page.all("a")} <= targets


def test_without_what_draws_there_are_tables_and_a_sentence(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = report(plain)
    assert not page.all("img")
    assert page.rows("All suites")
    assert "matplotlib draws them" in text_of(page)


def test_kinds_are_drawn_where_they_hold_more_than_a_few_results(tmp_path: Path) -> None:
    results = [
        result(f"{kind}{number}", number > 0, kind=kind)
        for kind in ("long", "short")
        for number in range(3)
    ]
    (picture,) = report(run_folder(tmp_path / "run", results)).all("img")
    assert "short: 67% strictly" in (picture.attributes["alt"] or "")
    few = report(run_folder(tmp_path / "few", [*results[:2], *results[3:5]]))
    assert not few.all("img")


def test_items_with_several_tries_are_counted_by_item_too(tmp_path: Path) -> None:
    results = [
        result("a", True, attempt=0, seed=1),
        result("a", False, attempt=1, seed=1),
        result("b", True, attempt=0, seed=1),
        result("b", True, attempt=1, seed=1),
    ]
    page = report(run_folder(tmp_path / "run", results))
    assert page.rows("Items solved") == [
        ["in every try", "50.0% 9.5% to 90.5%", "50.0% 9.5% to 90.5%", "2"],
        ["in at least one try", "100.0% 34.2% to 100.0%", "100.0% 34.2% to 100.0%", "2"],
    ]
    assert "seed 1 · try 2" in text_of(page)


def test_what_a_model_wrote_is_never_markup(tmp_path: Path) -> None:
    evil = "</pre></script><script>window.hit=1</script><img src=x onerror='window.hit=1'>\ud800\0"
    hostile = result(
        "x",
        False,
        suite="s<b>",
        kind='k"><i>',
        trouble=evil.replace("\ud800", ""),
        messages=(
            Message(role="user", content="<u>ask</u>"),
            Message(role="assistant", content=evil.replace("\ud800", ""), reasoning_content="<s>"),
        ),
        verdict=Verdict(
            checks={"solved": Check.of(False), "<em>": Check.of(True)},
            measures={"<em>": 1.0},
            due={"<em>": "<em>"},
            note="<em>",
        ),
    )
    page = report(
        run_folder(tmp_path / "run", [hostile], options={"<em>": "<em>"}, reference="<em>")
    )
    assert len(page.all("script")) == 1
    assert not [each for tag in ("b", "i", "u", "s", "em", "img") for each in page.all(tag)]
    assert "</script><script>window.hit=1</script>" in page.text


def test_long_work_is_cut_and_says_where_the_whole_is(tmp_path: Path) -> None:
    def chatter(item: str, solved: bool) -> Result:
        messages = tuple(
            Message(role="assistant", content=f"<{number}>" + "x" * 3_000) for number in range(40)
        )
        return result(item, solved, messages=messages)

    results = [chatter(f"{number:03}", number % 2 == 0) for number in range(100)]
    folder = run_folder(tmp_path / "run", results)
    page = report(folder)
    assert (folder / RESULTS).stat().st_size > 10_000_000
    assert (folder / REPORT).stat().st_size < 4_000_000
    assert len(items(page)) == 100
    first, last = (page.all("details", class_="item")[at] for at in (0, -1))
    assert "20 messages left out" in first.text
    assert "<0>" in first.text
    assert "<39>" in first.text
    assert "<20>" not in first.text
    assert "1,403 characters left out" in first.text
    assert "The conversation is left out to keep this page small." in last.text
    assert "Line 99 of results.jsonl" in last.text


def test_against_another_run_it_says_what_changed(tmp_path: Path) -> None:
    many = [f"{number:02}" for number in range(20)]
    before = [result(item, True) for item in many] + [result("odd", False, suite="old")]
    after = [result(item, int(item) >= 12, seconds=4.0) for item in many] + [result("extra", True)]
    baseline = run_folder(tmp_path / "before", before)
    run = run_folder(tmp_path / "after", after, options={"seeds": [2]})
    page = report(run, baseline)
    (row,) = page.rows("Solved, against the baseline")
    assert row[0] == "reading"
    assert row[1].startswith("-60.0 points")
    assert row[1].endswith("worse")
    assert row[2:5] == ["0", "12", "0.00049"]
    assert row[6] == "20"
    assert page.rows("Time and memory, against")[0] == [
        "seconds of an item, median",
        *("2", "4", "2.00"),
    ]
    warnings = [each.text for each in page.all("p", class_="warning")]
    assert "Only one of the runs has old." in warnings
    assert "The options differ: seeds [1] and [2]; temperature 0.0 and None." in warnings
    lost = page.all("details", class_="item", data_change="lost")
    assert len(lost) == 12
    assert all("lost" in each.all("summary")[0].text for each in lost)
    assert not page.all("details", class_="item", data_change="gained")
    back = report(baseline, run)
    assert len(back.all("details", class_="item", data_change="gained")) == 12
    assert back.rows("Solved, against the baseline")[0][1].endswith("better")


def test_several_suites_are_compared_together_too(tmp_path: Path) -> None:
    def run(name: str, solved: bool) -> Path:
        results = [result("a", solved, suite=suite) for suite in ("reading", "writing")]
        return run_folder(tmp_path / name, results)

    rows = report(run("after", True), run("before", False)).rows("Solved, against the baseline")
    assert [row[0] for row in rows] == ["reading", "writing", "all suites"]


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    one = run_folder(tmp_path / "one", [result("a", True)])
    other = run_folder(tmp_path / "other", [result("a", True, suite="writing")])
    later = run_folder(tmp_path / "later", [result("a", True)], versions={"reading": 2})
    for baseline, reason in (
        (other, "no suite in common"),
        (later, "version 2"),
        (one, "name two"),
    ):
        with pytest.raises(EvaluationError, match=reason):
            write_report(one, baseline)
    assert not (one / REPORT).exists()


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    page = report(run_folder(tmp_path / "run", []))
    assert "There are no results yet." in page.text
    assert not page.all("table")


def test_bad_folders_are_one_sentence(tmp_path: Path, plain: Path) -> None:
    with pytest.raises(EvaluationError, match=rf"no {RUN} in it\.\Z"):
        write_report(tmp_path)
    with pytest.raises(EvaluationError, match=rf"no {RUN} in it\.\Z"):
        write_report(plain, tmp_path)
    (plain / RESULTS).write_text("{}\n")
    with pytest.raises(EvaluationError, match=r"line 1: not a result"):
        write_report(plain)
    (plain / RESULTS).unlink()
    with pytest.raises(EvaluationError, match=r"cannot be read"):
        write_report(plain)
    assert not (plain / REPORT).exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_report_that_cannot_be_written(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (plain / f".{REPORT}.{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(EvaluationError, match="The disk is full"):
        write_report(plain)
    assert not (plain / REPORT).exists()
