"""`punie track`: runs kept, compared, shown over time and exported, as a person meets it."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from punie.cli.track import main
from punie.evaluation.run_record import write_run
from punie.evaluation.suites.catalog import SUITES
from tests.cli.conftest import Command
from tests.evaluation.tracker.made_runs import (
    made_record,
    made_results,
    suites,
    write_made_run,
)

IDS = [made_record(number).id for number in range(4)]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("PUNIE_STATE_DIR", str(folder))
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path / "config"))
    return folder


@pytest.fixture
def runs(tmp_path: Path, state: Path) -> list[Path]:
    """Three runs: two of the bundled model, of which the second is worse, and one of another."""
    wanted = suites({"edits": 1, "discrimination": 1}, 30)
    other = made_record().model.model_copy(
        update={"reference": "/somewhere/private/<b>fused", "weights": None}
    )
    made = [
        (made_record(1, suites=wanted), [True] * 30),
        (made_record(2, suites=wanted), [True] * 20 + [False] * 10),
        (made_record(3, suites=wanted, model=other), [True, False] * 15),
    ]
    folders = []
    for number, (record, right) in enumerate(made):
        results = made_results("edits", right, seconds=1.0 + number)
        results += made_results("discrimination", [True] * 10)
        folders.append(write_made_run(tmp_path / f"run{number}", record, results))
    assert main(["add", *map(str, folders)]) == 0
    return folders


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_installed_command_keeps_and_compares(punie: Command, tmp_path: Path) -> None:
    folders = []
    for number, right in ((1, [True] * 20), (2, [True] * 10 + [False] * 10)):
        results = made_results("edits", right)
        folders.append(str(write_made_run(tmp_path / f"run{number}", made_record(number), results)))
    done = punie("track", "add", *folders)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folders[0]}: kept.\n{folders[1]}: kept.\n"
    assert (punie.state / "evaluation.sqlite3").is_file()
    done = punie("track", "compare", IDS[1], IDS[2], "--items", "1")
    assert done.returncode == 0, done.stderr
    assert "WORSE" in done.stdout
    assert "lost (the first 1 of 10)\n  edits item/010\n" in done.stdout
    assert "The second run is worse than chance explains in edits." in done.stdout


def test_list_and_show(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, "list")
    assert [run["id"] for run in found] == [IDS[3], IDS[2], IDS[1]]
    assert [run["id"] for run in _json(capsys, "list", "--model", "punie-tiny")] == IDS[2:0:-1]
    whole = next(
        score
        for score in found[1]["scores"]
        if (score["suite"], score["kind"], score["check"]) == ("edits", "", "solved")
    )
    assert (whole["strict"]["hits"], whole["strict"]["of"]) == (20, 30)
    assert whole["strict"]["low"] < 2 / 3 < whole["strict"]["high"]
    assert main(["show", IDS[2]]) == 0
    shown = capsys.readouterr().out
    for told in ("punie-tiny", "02" * 32, "AMD EPYC", "1.5 GB", "0123456789ab", "66.7% (48.8%"):
        assert told in shown
    assert "kind 0" not in shown
    assert "diary" not in shown
    assert main(["show", IDS[2], "--suite", "edits", "--items"]) == 0
    shown = capsys.readouterr().out
    assert "kind 0" in shown
    assert "discrimination" not in shown
    assert "  softly edits item/020: The file was not changed.\n" in shown
    whole = _json(capsys, "show", IDS[2], "--items")
    assert len(whole["items"]) == 40
    assert {"suite": "edits", "name": "recall"}.items() <= whole["measures"][0].items()
    assert main(["show", IDS[2], "--suite", "nope"]) == 1
    assert "has no suite 'nope'" in capsys.readouterr().err
    assert main(["import-reported"]) == 0
    assert main(["show", IDS[2]]) == 0
    shown = capsys.readouterr().out
    assert "As reported there: discrimination, 5 queries" in shown
    assert "5 of 5 (57% to 100%)" in shown


def test_without_runs_it_says_where_they_come_from(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().out == "There are no runs yet; `punie eval` makes them.\n"


def test_compare_as_json(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, "compare", IDS[1], IDS[2])
    assert found["regressions"] == ["edits", ""]
    assert found["overall"]["lost"][0] == "edits item/020"
    assert found["ratios"]["seconds of an item, median"]["ratio"] > 1
    assert found["ratios"]["peak memory in GB"]["ratio"] == 1
    softly = _json(capsys, "compare", IDS[1], IDS[2], "--soft")
    assert softly["regressions"] == []


def test_reported_rows_enter_no_comparison(
    runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = _json(capsys, "compare", IDS[1], IDS[2]), _json(capsys, "list")
    assert main(["import-reported"]) == 0
    assert (_json(capsys, "compare", IDS[1], IDS[2]), _json(capsys, "list")) == before


def test_history(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chart = tmp_path / "chart.svg"
    found = _json(capsys, "history", "punie-tiny", "--suite", "edits", "--chart", str(chart))
    assert [(point["run"], point["hits"]) for point in found] == [(IDS[1], 30), (IDS[2], 20)]
    words = "".join(ElementTree.parse(chart).getroot().itertext())
    assert "punie-tiny: solved over time" in words
    assert "days since 2026-11-30 12:00 UTC" in words
    assert main(["history", "punie-tiny", "--check", "tool"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 4 + 1
    assert all(line.count("●") == 1 for line in lines[2:-1])
    assert "other options" not in lines[1]
    assert "Other options" not in lines[-1]
    assert main(["history", "--suite", "nope"]) == 1
    assert "in the suite 'nope'; `punie track show` lists" in capsys.readouterr().err
    assert main(["history", "org/none"]) == 1
    assert "There is no run of 'org/none'" in capsys.readouterr().err


def test_history_marks_runs_with_other_options(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warm = {"temperature": 0.7, "seeds": [0], "parallel": 2, "limit": 20}
    for number, options in ((0, {**warm, "parallel": 1}), (4, {**warm, "limit": 30})):
        record = made_record(number, suites=suites({"edits": 1}), options=options)
        folder = write_made_run(tmp_path / f"warm{number}", record, made_results("edits", [True]))
        assert main(["add", str(folder)]) == 0
    asked = ("history", "punie-tiny", "--suite", "edits")
    chart = tmp_path / "chart.svg"
    found = _json(capsys, *asked, "--chart", str(chart))
    cold = {"limit": None, "temperature": 0.0}
    assert [point["other_options"] for point in found] == [{"limit": 20}, cold, cold, {}]
    words = "".join(ElementTree.parse(chart).getroot().itertext())
    assert "edits 1, limit None, temperature 0.0" in words
    assert main(list(asked)) == 0
    shown = capsys.readouterr().out
    assert re.search(r"100\.0% .* 1  limit 20 ", shown)
    assert "Other options: those in which a run differs from the latest one." in shown


class _Page(HTMLParser):
    """What a page loads or runs, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_a_page_opens_offline_and_shows_reported_rows_beside_runs(
    runs: list[Path], tmp_path: Path
) -> None:
    assert main(["import-reported"]) == 0
    out = tmp_path / "page.html"
    assert main(["export", "--format", "html", "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    page = _Page(text)
    assert page.addresses
    assert all(address.startswith("data:image/svg+xml,") for address in page.addresses)
    assert not {"script", "link", "b"} & set(page.tags)
    assert "&lt;b&gt;fused" in text
    assert "private" not in text  # Of a folder only its own name leaves the machine.
    assert "As reported there: discrimination, 5 queries" in text


def test_markdown_with_charts_beside_it(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "page.md"
    assert main(["export", IDS[1], IDS[2], "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    charts = re.findall(r"\]\((.+\.svg)\)", text)
    assert charts == ["page-solved.svg", "page-edits-1.svg", "page-discrimination-1.svg"]
    for chart in charts:
        ElementTree.parse(tmp_path / chart)
    assert IDS[2] in text
    assert IDS[3] not in text
    assert "| edits" not in text  # A suite has a section of its own.
    assert "Measures, in the mean" in text
    # Check by check, and in each the runs beside each other.
    told = re.findall(r"^\| (solved|tool) \| (\S+) ", text.split("## edits")[1], re.MULTILINE)
    assert told[:4] == [("solved", IDS[2]), ("solved", IDS[1]), ("tool", IDS[2]), ("tool", IDS[1])]


def test_the_chart_has_every_suite_that_comes_with_punie(tmp_path: Path, state: Path) -> None:
    record = made_record(1, suites=suites(dict.fromkeys(SUITES, 1)))
    results = [each for name in SUITES for each in made_results(name, [True, False])]
    assert main(["add", str(write_made_run(tmp_path / "run", record, results))]) == 0
    assert main(["export", "--out", str(tmp_path / "page.md")]) == 0
    drawn = (tmp_path / "page-solved.svg").read_text()
    assert [name for name in SUITES if f">{name}<" not in drawn] == []


def test_csv_tells_origins_apart(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import-reported"]) == 0
    capsys.readouterr()
    assert main(["export", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["origin"] for row in rows} == {"measured here", "as reported there"}
    for row in rows:
        assert bool(row["run"]) == (row["origin"] == "measured here")
        assert bool(row["measured"]) == (row["origin"] == "as reported there")
    (edits,) = (
        row
        for row in rows
        if (row["run"], row["suite"], row["kind"], row["check"]) == (IDS[2], "edits", "", "solved")
    )
    assert (edits["strict_hits"], edits["tries"], edits["version"]) == ("20", "30", "1")


def test_words_of_a_model_do_not_steer_the_terminal(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (result,) = made_results("edits", [False])
    verdict = result.verdict.model_copy(update={"note": "It said \x1b[2J\x9b31m\nand more."})
    result = result.model_copy(update={"verdict": verdict, "kind": "\x1b]0;title\x07"})
    folder = write_made_run(tmp_path / "run", made_record(1), [result])
    assert main(["add", str(folder)]) == 0
    assert main(["show", "last", "--suite", "edits", "--items"]) == 0
    shown = capsys.readouterr().out
    assert "It said \ufffd[2J\ufffd31m and more." in shown
    assert not {"\x1b", "\x9b", "\x07"} & set(shown)


def test_rm(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rm", "last"]) == 1  # Nobody is there to ask.
    assert main(["rm", "last", "--yes"]) == 0
    assert [run["id"] for run in _json(capsys, "list")] == [IDS[2], IDS[1]]
    assert runs[2].is_dir()


def test_bad_input_is_one_sentence(
    runs: list[Path], state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, made_record(1))
    (tmp_path / "results.jsonl").write_text("{}\n", encoding="utf-8")
    broken = write_made_run(tmp_path / "broken", made_record(1), [])
    (broken / "results.jsonl").write_text('{"suite": 1}\n', encoding="utf-8")
    for arguments, told in (
        (["add", str(tmp_path / "none")], "is not a run of `punie eval`"),
        (["add", str(tmp_path)], "is not complete"),
        (["add", str(broken)], "line 1: not a result"),
        (["show", "nope"], "There is no run 'nope'"),
        (["compare", IDS[1], IDS[1]], f"Both are the run {IDS[1]}"),
        (["compare", IDS[1], IDS[2], "--check", "x"], "No item was checked for 'x' in both runs"),
        (["import-reported", str(tmp_path / "none")], "cannot be read"),
        (["export", "--out", str(tmp_path / "none" / "x.md")], "cannot be written"),
    ):
        capsys.readouterr()
        assert main(arguments) == 1
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    (state / "evaluation.sqlite3").write_bytes(b"not a database" * 100)
    assert main(["list"]) == 1
    assert "The tracker was damaged; it was set aside" in capsys.readouterr().err
    assert main(["list"]) == 0
