"""`punie eval --baseline`: nothing got worse since the results that are kept in this repository.

The first test is the gate: the installed program and the bundled model do some items again. It
fails if more of them are lost than chance explains; docs/evaluation.md tells how that is judged.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from punie.cli.eval import main
from punie.evaluation.baseline import Change, changed, read_baseline
from punie.evaluation.results import RESULTS, Result, read_results, result_line
from punie.evaluation.run_record import RUN
from punie.evaluation.suite import Check
from punie.evaluation.suites.catalog import SUITES
from tests.cli.conftest import Command

TASKS = SUITES["generated-tiny"]
BASELINE = Path(__file__).parents[1] / "evaluation" / "baseline"


@pytest.fixture
def patient(punie: Command) -> Command:
    """Return the command for what takes minutes where the machine has other things to do."""
    punie.timeout = 900.0
    return punie


@pytest.mark.slow
def test_nothing_got_worse(patient: Command) -> None:
    done = patient("eval", "--baseline", str(BASELINE), "--parallel", "8")
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    assert "baseline" in done.stdout


def test_a_model_that_only_talks_is_worse(punie: Command, script: Callable[..., str]) -> None:
    asked = ("eval", "--baseline", str(BASELINE), "--items", "known/*", "--limit", "12")
    done = punie(*asked, "--model", script({"text": "It is done."}))
    assert done.returncode == 1, done.stderr
    assert "WORSE than the baseline" in done.stdout
    assert "\n  lost    generated-tiny known/" in done.stdout
    assert f"`punie eval --baseline {BASELINE} --items 'known/" in done.stderr


@pytest.mark.slow
def test_the_same_seed_gives_the_same_conversations(patient: Command, tmp_path: Path) -> None:
    hot = ("--temperature", "1.5", "--repeats", "2", "--max-tokens", "60")
    found = []
    for number in range(2):
        out = tmp_path / str(number)
        asked = ("--suite", "discrimination", "--limit", "3", "--seed", "7", "--parallel", "1")
        done = patient("eval", "--model", "punie-tiny", *asked, *hot, "--out", str(out))
        assert done.returncode == 0, done.stderr
        found.append([one.trajectory["messages"] for one in read_results(out / RESULTS)])
    assert found[0] == found[1]
    # Of another try at the same item the seed is another one.
    assert found[0][0::2] != found[0][1::2]


def wrong(result: Result) -> Result:
    checks = dict.fromkeys(result.verdict.checks, Check.of(False))
    verdict = result.verdict.model_copy(update={"checks": checks})
    return result.model_copy(update={"verdict": verdict})


def lost(items: int) -> Change:
    baseline = read_baseline(BASELINE)
    right = [one for one in baseline.results if one.solved.strict][:items]
    assert len(right) == items
    return changed(baseline, [wrong(one) if one in right else one for one in baseline.results])


def test_chance_explains_four_lost_items_and_not_five() -> None:
    assert not lost(0).is_worse
    assert lost(0).lines() == ["As in the baseline: each of 80 items."]
    assert not lost(4).is_worse
    assert "4 lost and 0 gained of 80 items, p = 0.062." in lost(4).lines()[0]
    assert lost(5).is_worse
    assert len(lost(5).lines()) == 6


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUNIE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def _with_other_weights(run: dict[str, Any]) -> None:
    run["model"]["weights"] = "0" * 64


def _with_an_older_suite(run: dict[str, Any]) -> None:
    run["suites"][0]["version"] = 0


def _with_a_suite_of_others(run: dict[str, Any]) -> None:
    run["suites"][0]["name"] = "exercism"


@pytest.mark.usefixtures("own_folders")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_with_other_weights, "is of other weights of punie-tiny than are here"),
        (
            _with_an_older_suite,
            f"has version 0 of generated-tiny, which is {TASKS.version}",
        ),
        (_with_a_suite_of_others, "There is no suite 'exercism'"),
    ],
)
def test_a_stale_baseline_is_refused(
    change: Callable[[dict[str, Any]], None],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stale = tmp_path / "stale"
    shutil.copytree(BASELINE, stale)
    run = json.loads((stale / RUN).read_text())
    change(run)
    (stale / RUN).write_text(json.dumps(run))
    assert main(["--baseline", str(stale)]) == 1
    error = capsys.readouterr().err
    assert said in error
    if change is not _with_a_suite_of_others:
        assert f"`punie eval --baseline {stale} --keep-baseline {stale}`" in error


@pytest.mark.usefixtures("own_folders")
def test_what_is_no_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--baseline", "none"]) == 1
    assert "is not a run of `punie eval`" in capsys.readouterr().err
    folder = tmp_path / "twice"
    shutil.copytree(BASELINE, folder)
    results = read_results(folder / RESULTS)
    (folder / RESULTS).write_text("".join(map(result_line, [*results, results[0]])))
    assert main(["--baseline", str(folder)]) == 1
    assert "several tries at an item" in capsys.readouterr().err
    (folder / RESULTS).write_text(result_line(results[0].model_copy(update={"item": "gone"})))
    assert main(["--baseline", str(folder)]) == 1
    assert "has no item 'gone' any more" in capsys.readouterr().err
    assert main(["--baseline", str(BASELINE), "--suite", "edits", "--temperature", "1"]) == 2
    assert "the baseline decides --suite; leave one of them out" in capsys.readouterr().err


def test_a_baseline_of_ones_own(punie: Command, script: Callable[..., str], tmp_path: Path) -> None:
    talks, asks = script({"text": "Good morning."}), script({"text": ""})
    kept, other = tmp_path / "kept", tmp_path / "other"
    one = ("--suite", "discrimination", "--items", "*/diary/*")
    done = punie("eval", *one, "--model", talks, "--keep-baseline", str(kept))
    assert done.returncode == 0, done.stderr
    assert f"kept as the baseline in {kept}" in done.stdout
    assert "Good morning" not in (kept / RESULTS).read_text()

    again = punie("eval", "--baseline", str(kept))
    assert again.returncode == 0, again.stderr
    assert "As in the baseline: each of 5 items." in again.stdout
    told = json.loads(punie("eval", "--baseline", str(kept), "--model", asks, "--json").stdout)
    assert told["baseline"]["lost"]
    assert not told["baseline"]["is_worse"]
    assert "against the baseline" in Path(told["report"]).read_text()

    other.mkdir()
    (other / "file").touch()
    done = punie("eval", *one, "--model", talks, "--keep-baseline", str(other))
    assert done.returncode == 1
    assert "holds something else than a baseline" in done.stderr
    done = punie("eval", "--baseline", str(kept), "--model", asks, "--keep-baseline", str(kept))
    assert done.returncode == 0, done.stderr
    assert json.loads((kept / RUN).read_text())["model"]["reference"] == asks
