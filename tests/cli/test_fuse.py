from pathlib import Path

from tests.cli.conftest import Command
from tests.training.sample_models import logits_of, write_adapter, write_model


def test_an_adapter_is_fused_from_the_command_line(punie: Command, tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    adapter = write_adapter(tmp_path / "adapter", base)
    given = ["fuse", str(base), str(adapter), "--out", str(tmp_path / "out")]

    done = punie(*given)
    assert done.returncode == 0, done.stderr
    assert "with the adapter in them" in done.stdout
    assert logits_of(tmp_path / "out").shape == logits_of(base).shape

    again = punie(*given)
    assert (again.returncode, again.stdout) == (1, "")
    assert "exists already" in again.stderr
    assert "Traceback" not in again.stderr
