import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from punie.models import catalog
from punie.models.catalog import (
    BUNDLED_ID,
    ModelUnavailable,
    available_models,
    bundled_directory,
    resolve_model,
    weight_bytes,
)
from punie.models.load import open_model
from punie.models.memory import gigabytes


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return cache


def put_in_cache(hub: Path, source: Path, name: str) -> Path:
    repository = hub / ("models--" + name.replace("/", "--"))
    snapshot = repository / "snapshots" / "abc"
    shutil.copytree(source, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    return snapshot


def test_a_directory(model_directory: Path) -> None:
    choice = resolve_model(f" {model_directory} ")
    assert (choice.source, choice.path) == ("directory", model_directory.resolve())
    assert resolve_model(choice.id) == choice


def test_a_relative_directory_and_home(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model_directory.parent.parent)
    relative = f"{model_directory.parent.name}/{model_directory.name}"
    assert resolve_model(relative).path == model_directory.resolve()
    monkeypatch.setenv("HOME", str(model_directory.parent))
    assert resolve_model(f"~/{model_directory.name}").path == model_directory.resolve()


def test_a_hub_id_resolves_only_from_the_cache(hub: Path, model_directory: Path) -> None:
    with pytest.raises(ModelUnavailable, match="punie models pull some/model"):
        resolve_model("some/model")
    snapshot = put_in_cache(hub, model_directory, "some/model")
    choice = resolve_model("some/model")
    assert (choice.source, choice.path, choice.title) == ("hub", snapshot, "model")


def test_a_description_tells_size_and_fit(hub: Path, model_directory: Path) -> None:
    put_in_cache(hub, model_directory, "some/model")
    size = gigabytes(weight_bytes(model_directory))
    assert resolve_model("some/model").description == f"{size}, fits; some/model"
    described = resolve_model(str(model_directory)).description
    assert described == f"{size}, fits; MLX model in {model_directory}"


def test_a_script(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    with pytest.raises(ModelUnavailable, match="does not exist"):
        resolve_model(f"scripted:{file}")
    file.write_text("{}")
    assert resolve_model(f"scripted:{file}").source == "scripted"
    with pytest.raises(ModelUnavailable, match="relative"):
        resolve_model("scripted:s.json")


def test_the_bundled_model(
    model_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bundled_directory().name == "tiny"
    monkeypatch.setattr(catalog, "bundled_directory", lambda: tmp_path)
    for reference in (None, "", BUNDLED_ID):
        with pytest.raises(ModelUnavailable, match="have not been built"):
            resolve_model(reference)
    assert available_models(None) == []
    monkeypatch.setattr(catalog, "bundled_directory", lambda: model_directory)
    assert resolve_model(None).id == BUNDLED_ID


def test_available_models_hold_what_would_work(
    hub: Path, model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "bundled_directory", lambda: model_directory)
    put_in_cache(hub, model_directory, "org/Qwen3-Some")
    other = put_in_cache(hub, model_directory, "org/other")
    (other / "config.json").write_text(json.dumps({"model_type": "bert"}))
    broken = put_in_cache(hub, model_directory, "org/broken")
    (broken / "model.safetensors").unlink()
    (hub / "models--org--empty").mkdir()
    ids = [choice.id for choice in available_models(str(model_directory))]
    assert ids == [str(model_directory), BUNDLED_ID, "org/Qwen3-Some"]
    assert [choice.id for choice in available_models("/nowhere")] == [BUNDLED_ID, "org/Qwen3-Some"]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "has no config.json"),
        ("model.safetensors", "has no weights"),
        ("tokenizer.json", "has no tokenizer.json"),
    ],
)
def test_incomplete_directories(
    model_directory: Path, tmp_path: Path, missing: str, message: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_directory, copy)
    (copy / missing).unlink()
    with pytest.raises(ModelUnavailable, match=message) as caught:
        resolve_model(str(copy))
    assert str(copy) in str(caught.value)


@pytest.mark.parametrize("reference", ["/no/such/place", "no-such-name", "~/nope", "a/b/c"])
def test_what_does_not_exist_is_one_sentence(reference: str) -> None:
    with pytest.raises(ModelUnavailable, match="There is no model directory"):
        resolve_model(reference)


@pytest.mark.anyio
async def test_a_directory_that_vanished_before_opening(
    model_directory: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_directory, copy)
    choice = resolve_model(str(copy))
    shutil.rmtree(copy)
    with pytest.raises(ModelUnavailable, match=r"config\.json"):
        await open_model(choice)


def test_catalogue_and_loader_import_nothing_heavy() -> None:
    code = (
        "import sys, punie.models.catalog, punie.models.load;"
        "print([m for m in ('mlx', 'mlx.core', 'pydantic_ai', 'transformers', 'jinja2', "
        "'tokenizers', 'pydantic') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
