"""docs/results holds the report on the bundled model, as it ships, on every suite as it is now."""

from pathlib import Path

import pytest

from punie.cli.track import main
from punie.evaluation.results import RESULTS, read_results
from punie.evaluation.run_record import read_run
from punie.evaluation.suites.catalog import SUITES
from punie.models.catalog import bundled_directory
from punie.training.provenance import model_hash

PUBLISHED = Path(__file__).parents[2] / "docs" / "results"
NAME = "bundled-model"
AGAIN = "run what docs/results/README.md says of bundled-model and commit what it writes"


def test_it_is_of_the_weights_that_ship_and_of_the_suites_as_they_are() -> None:
    record = read_run(PUBLISHED / NAME)
    assert record.model.weights == model_hash(bundled_directory()), AGAIN
    done = {(suite.name, suite.version): suite.items for suite in record.suites}
    assert done == {(suite.name, suite.version): len(suite.names()) for suite in SUITES.values()}
    assert record.options["limit"] is None
    assert record.options["items"] == []
    results = read_results(PUBLISHED / NAME / RESULTS)
    assert not [result for result in results if result.model_failed or result.trouble]


def test_the_page_is_made_of_the_data_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUNIE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path / "config"))
    page = tmp_path / f"{NAME}.md"
    for command in (
        ["add", str(PUBLISHED / NAME)],
        ["import-reported"],
        ["export", "--out", str(page)],
    ):
        assert main(command) == 0
    made = page.read_text(encoding="utf-8")
    assert "As reported there" in made
    assert made == (PUBLISHED / page.name).read_text(encoding="utf-8"), AGAIN
    for drawn in tmp_path.glob("*.svg"):
        assert (PUBLISHED / drawn.name).is_file()
        assert f"]({drawn.name})" in made
