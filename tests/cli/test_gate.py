"""`punie gate`: verdicts as exit codes, reports as lines and as JSON."""

import json
import shutil
from pathlib import Path

import pytest

from punie.cli.gate import main
from punie.models.catalog import bundled_directory
from punie.models.provenance import FILE_NAME, Provenance


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in bundled_directory().iterdir():
        if file.suffix in (".json", ".jinja"):
            shutil.copy(file, folder)
    return folder


def test_zero_tells_what_it_found(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zero", str(model)]) == 0
    assert capsys.readouterr().out.startswith(f"gate zero: passed ({model})\n  ok   vocabulary: ")
    (model / "chat_template.jinja").unlink()
    assert main(["zero", str(model), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["gate"], report["checks"][0]["passed"]) == ("zero", False)
    assert not list(model.glob("gate-*"))


def test_the_bundled_model_has_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zero", "punie-tiny"]) == 0
    assert "gate zero: passed" in capsys.readouterr().out


def test_a_model_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zero", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_models_that_punie_made_keep_their_reports(model: Path) -> None:
    (model / FILE_NAME).write_text(Provenance(made_by="fuse").model_dump_json())
    assert main(["zero", str(model)]) == 0
    assert json.loads((model / "gate-zero.json").read_text())["gate"] == "zero"
    assert json.loads((model / FILE_NAME).read_text())["gates"] == {"zero": True}
