"""Fusing and quantising as they are typed."""

import subprocess
import sys
from pathlib import Path

from punie.models.provenance import read_provenance
from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example
from punie.training.quantizing.options import QuantizeOptions
from punie.training.quantizing.run import quantize
from tests.assets import ASSETS, needs_assets
from tests.cli.conftest import Command
from tests.training.sample_conversations import conversations
from tests.training.sample_models import logits_of, write_adapter, write_model


def test_an_adapter_is_fused_and_the_model_quantised(punie: Command, tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    adapter = write_adapter(tmp_path / "adapter", base)
    fused, packed = tmp_path / "fused", tmp_path / "packed"
    dataset = tmp_path / "dataset"
    examples = [Example.model_validate({"messages": each}) for each in conversations(3)]
    write_dataset(dataset, Manifest(made_by="test"), {"test": examples})
    given = ["fuse", str(base), str(adapter), "--out", str(fused), "--dataset", str(dataset)]

    done = punie(*given)
    assert done.returncode == 0, done.stderr
    assert "with the adapter in them" in done.stdout
    assert "gate conversion: passed" in done.stdout
    provenance = read_provenance(fused)
    assert provenance is not None
    assert provenance.gates == {"conversion": True}
    again = punie(*given)
    assert (again.returncode, again.stdout) == (1, "")
    assert "exists already" in again.stderr
    assert "Traceback" not in again.stderr

    done = punie(
        "quantize", str(fused), "--out", str(packed), "--group-size", "32", "--rule", "embed=keep"
    )
    assert done.returncode == 0, done.stderr
    assert "bits per weight" in done.stdout
    assert "mlp.down_proj" in done.stdout
    assert logits_of(packed).shape == logits_of(base).shape


@needs_assets
def test_what_a_big_model_comes_to_is_told_without_its_weights(
    punie: Command, tmp_path: Path
) -> None:
    folder = str(ASSETS / "qwen3-coder-30b-a3b")
    done = punie("quantize", folder, "--bits", "5", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "30,532,122,624" in done.stdout
    assert "5.501" in done.stdout
    wrong = punie("quantize", folder, "--out", str(tmp_path / "out"), "--bits", "7")
    assert wrong.returncode == 2
    assert "--bits" in wrong.stderr
    wrong = punie("quantize", folder)
    assert wrong.returncode == 2
    assert "--out" in wrong.stderr
    assert not (tmp_path / "out").exists()


def test_what_was_killed_goes_on(punie: Command, tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    whole = tmp_path / "whole"
    quantize(QuantizeOptions(group_size=32), base, None, whole)
    given = ["quantize", str(base), "--group-size", "32", "--out"]
    # Killed just when the weights are there: nothing else has been written yet.
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, *given, str(tmp_path / "out")],
        env=punie.environment,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    assert not (tmp_path / "out").exists()
    weights = tmp_path / ".out.unfinished" / "model.safetensors"
    written = weights.stat().st_mtime_ns

    done = punie(*given, str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == written
    for file in whole.iterdir():
        assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes(), file.name
    assert not list(tmp_path.glob(".*"))


_KILLED = """
import os, signal, sys
from punie.cli.main import main
from punie.training.quantizing import report
report.measured_size = lambda _: os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""
