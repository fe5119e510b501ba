"""From stored sessions to a model in use, and back; each step is a process of its own."""

from pathlib import Path

import anyio
import pytest

from punie.cli.main import main
from punie.models.catalog import resolve_model
from punie.models.load import close_models, open_model
from punie.settings import Settings, load_settings, user_settings_file
from tests.training.stored_sessions import StoredSession

VALUES = {
    "rehearsal.train": 10,
    "rehearsal.valid": 4,
    "rehearsal.direct": 0.6,
    "tune.steps": 2,
    "tune.warm_up": 1,
    "tune.batch": 1,
    "tune.rank": 2,
    "tune.layers": 2,
    "tune.longest": 512,
    "tune.validation_examples": 1,
    "gates.data.least_direct": 0,
    "gates.data.most_direct": 1,
    "gates.data.most_of_one_tool": 1,
    # How good the bundled model is, few tasks cannot tell; here the way through the gates counts.
    "gates.training.least_direct": 1,
    "gates.training.most_lost": 1,
    "gates.training.most_loss": 100,
    "gates.conversion.examples": 2,
    "gates.serving.tasks": 2,
    "gates.serving.direct": 1,
    "gates.serving.least_tool": 0,
    "gates.serving.least_solved": 0,
    "gates.serving.least_direct": 0,
    "gates.serving.most_unended": 1,
    "gates.serving.most_malformed": 1,
}
TINY = [f"--set={name}={value}" for name, value in VALUES.items()]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("PUNIE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("MLX_DISABLE_COMPILE", "1")  # compiling takes longer than all the rest
    user_settings_file().parent.mkdir()
    user_settings_file().write_text("learn_from_sessions = true\n")
    return load_settings()


async def _work(settings: Settings, project: Path) -> None:
    """Let the bundled model work, as a person would have it."""
    model = await open_model(resolve_model(None))
    try:
        for path in ("a.py", "b.py"):
            session = StoredSession(settings, project)
            await session.turn_with(model, f"Read {path}")
            await session.aclose()
    finally:
        await close_models()


@pytest.mark.slow
def test_a_model_learns_from_sessions_and_is_in_use(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def learn(*arguments: str) -> str:
        code = main(["learn", *arguments])
        told = capsys.readouterr()
        assert code == 0, told.out + told.err
        return told.out

    project = tmp_path / "project"
    project.mkdir()
    for number, name in enumerate("ab", 1):
        (project / f"{name}.py").write_text("x = 1\n" * number)
    anyio.run(_work, settings, project)
    before = user_settings_file().read_text()

    told = learn("--least=2", "--yes", *TINY)
    assert "punie-tiny learns from 2 examples of your sessions" in told
    assert "gate-serving:fused" in told
    name = next(word for word in told.split() if word.startswith("learned-")).rstrip(":")
    assert f"{name} is the model from now on" in told
    assert load_settings().model == name
    assert f"There is nothing new: {name}" in learn("--least=2", "--yes", *TINY)
    assert f"{name}  " in learn("status")
    assert learn("off").startswith("punie-tiny is the model again")
    assert user_settings_file().read_text() == before
    assert f"{name} is deleted" in learn("delete", "--all", "--yes")
    assert not [*(settings.state_dir / "learning" / "store" / "steps").glob("*/model")]
    assert not [*(settings.state_dir / "learning" / "runs").iterdir()]
