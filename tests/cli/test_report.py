"""`punie report`: the page of a run, by the installed program."""

from pathlib import Path

from tests.cli.conftest import Command
from tests.evaluation.report.runs import result, run_folder


def test_it_writes_the_page_and_says_where(punie: Command, tmp_path: Path) -> None:
    before = run_folder(tmp_path / "before", [result("a", True)])
    after = run_folder(tmp_path / "after", [result("a", False)])
    done = punie("report", str(after), "--against", str(before))
    page = after / "report.html"
    assert (done.returncode, done.stdout) == (0, f"{page}\n"), done.stderr
    assert "Solved, against the baseline" in page.read_text()


def test_what_is_no_run_is_one_sentence(punie: Command, tmp_path: Path) -> None:
    done = punie("report", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"punie: {tmp_path} is not a run of `punie eval`: no run.json in it.\n"
    assert punie("report").returncode == 2
