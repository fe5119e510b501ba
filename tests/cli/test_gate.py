"""`punie gate`: verdicts as exit codes, reports as lines and as JSON."""

import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from punie.cli.gate import conversion, data, main, serving
from punie.models.catalog import bundled_directory
from punie.models.provenance import FILE_NAME, Provenance
from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example, Message
from punie.training.gates.conversion import ConversionLimits
from punie.training.gates.data import DataLimits
from punie.training.gates.report import GateReport
from punie.training.gates.serving import ServingLimits
from tests.cli.conftest import Command


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
    assert json.loads((model / "gate-zero.json").read_text()) == report


def test_the_bundled_model_has_a_name_and_keeps_no_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["zero", "punie-tiny"]) == 0
    assert "gate zero: passed" in capsys.readouterr().out
    assert not list(bundled_directory().glob("gate-*"))


def test_a_model_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zero", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_models_that_punie_made_keep_their_reports(model: Path) -> None:
    (model / FILE_NAME).write_text(Provenance(made_by="fuse").model_dump_json())
    assert main(["zero", str(model)]) == 0
    assert json.loads((model / "gate-zero.json").read_text())["gate"] == "zero"
    assert json.loads((model / FILE_NAME).read_text())["gates"] == {"zero": True}


@pytest.mark.parametrize(
    ("command", "limits"),
    [(data, DataLimits), (conversion, ConversionLimits), (serving, ServingLimits)],
)
def test_defaults_are_those_of_the_gate(
    command: Callable[..., None], limits: type[BaseModel]
) -> None:
    offered = inspect.signature(command).parameters
    named = {"draft_model": "draft"}
    shared = {name: named.get(name, name) for name in limits.model_fields}
    found = {name: offered[option].default for name, option in shared.items() if option in offered}
    assert len(found) > 3
    assert found == {name: limits.model_fields[name].default for name in found}


def test_limits_are_checked_before_anything_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serving", "punie-tiny", "--tasks", "0"]) == 2
    assert "--tasks" in capsys.readouterr().err


def test_data_is_told_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = (Message(role="user", content="Hi"), Message(role="assistant", content="Hello"))
    write_dataset(
        tmp_path / "data", Manifest(made_by="test"), {"all": [Example(messages=messages)]}
    )
    assert main(["data", str(tmp_path / "data"), "--model", "punie-tiny"]) == 1
    assert "gate data: FAILED" in capsys.readouterr().out
    allowed = ("--most-direct", "1", "--least-direct", "1")
    assert main(["data", str(tmp_path / "data"), *allowed]) == 0


def test_the_installed_command_lets_the_bundled_model_work(punie: Command) -> None:
    done = punie("gate", "serving", "punie-tiny", "--tasks", "2", "--direct", "1", "--json")
    report = GateReport.model_validate_json(done.stdout)
    assert report.gate == "serving"
    assert done.returncode == (0 if report.passed else 1)
    assert "with the grammar: 2 of 2 items" in done.stderr
    assert "direct questions: 1 of 1 items" in done.stderr
