"""`punie eval`: the list of suites, a run with its table, report and JSON, and wrong usage."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from punie.cli.eval import main
from punie.evaluation.results import RESULTS, read_results
from punie.evaluation.run_record import RUN
from punie.evaluation.suites.catalog import SUITES
from tests.cli.conftest import Command


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUNIE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def test_suites_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    for name, suite in SUITES.items():
        assert f"{name} ({len(suite.names())} items" in shown
    assert "--checkout exercism=FOLDER" in shown
    assert main(["--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {each["name"] for each in listed} > set(SUITES)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--suite", "sing"], "there is no suite 'sing'"),
        (["--suite", "exercism"], "exercism needs a checkout"),
        (["--checkout", "exercism"], "--checkout takes SUITE=FOLDER"),
        (["--suite", "discrimination", "--repeats", "2"], "all the same at temperature 0"),
        (["--suite", "discrimination", "--seeds", "one"], "--seeds"),
        (["--suite", "discrimination", "--parallel", "0"], "--parallel"),
        (["--suite", "discrimination", "--thinking", "loud"], "--thinking"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--checkout", "exercism=none"], "none is not a folder"),
        (["--suite", "discrimination", "--model", "./none"], "no model directory"),
        (["--suite", "discrimination", "--items", "sing/*"], "No item of discrimination is like"),
    ],
)
def test_what_cannot_be_done(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert said in capsys.readouterr().err


def test_a_run_has_a_table_a_report_and_a_folder_of_its_own(
    punie: Command, script: Callable[..., str]
) -> None:
    model = script({"text": "Good morning."})
    asked = ("eval", "--suite", "discrimination", "--limit", "3", "--model", model)
    done = punie(*asked)
    assert done.returncode == 0, done.stderr
    assert "discrimination, 3 items" in done.stdout
    assert "solved" in done.stdout
    again = punie(*asked, "--json", "--parallel", "1")
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    first, second = sorted((punie.state / "evaluations").iterdir())
    assert told["folder"] == str(second)
    assert Path(told["report"]).read_text().startswith("<!")
    assert told["suites"]["discrimination"]["checks"]["solved"]["strict"]["of"] == 3
    one, other = (read_results(folder / RESULTS) for folder in (first, second))
    assert [each.trajectory for each in one] == [each.trajectory for each in other]
    assert read_results(first / RESULTS)[0].messages[-1].content == "Good morning."
    tracked = punie(
        "track", "compare", told["run"]["id"], json.loads((first / RUN).read_text())["id"]
    )
    assert tracked.returncode == 0, tracked.stderr
    assert "1 and 8 sessions ran at once" in tracked.stdout


def test_a_run_is_whole_even_if_the_tracker_cannot_keep_it(
    punie: Command, script: Callable[..., str]
) -> None:
    punie.state.mkdir()
    (punie.state / "evaluation.sqlite3").mkdir()
    asked = ("eval", "--suite", "discrimination", "--limit", "1")
    done = punie(*asked, "--model", script({"text": "Good morning."}))
    assert done.returncode == 0, done.stderr
    assert "discrimination, 1 item" in done.stdout
    assert "keep it with `punie track add" in done.stderr
