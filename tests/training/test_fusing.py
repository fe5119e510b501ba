import json
import resource
import shutil
from pathlib import Path

import mlx.core as mx
import pytest

from punie.models.provenance import read_provenance
from punie.models.weights import read_weights
from punie.training import model_folder
from punie.training.errors import TrainingError
from punie.training.fusing import FuseOptions, fuse, load_with_adapter, read_adapter
from punie.training.model_folder import write_weights
from punie.training.progress import Interrupted
from punie.training.provenance import model_hash
from tests.training.sample_models import logits, logits_of, write_adapter, write_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base") / "model")


@pytest.mark.parametrize("kind", ["lora", "dora", "full"])
def test_the_fused_model_says_what_base_and_adapter_say(
    tmp_path: Path, base: Path, kind: str
) -> None:
    adapter = write_adapter(tmp_path / "adapter", base, kind)
    together = logits(load_with_adapter(base, read_adapter(adapter)))

    out = fuse(FuseOptions(), base, adapter, tmp_path / "out")

    assert mx.allclose(logits_of(out), together, atol=1e-4).item()
    assert not mx.allclose(logits_of(base), together, atol=1e-2).item()
    for name in ("tokenizer.json", "chat_template.jinja", "config.json"):
        assert (out / name).read_bytes() == (base / name).read_bytes()
    provenance = read_provenance(out)
    assert provenance is not None
    assert provenance.made_by == "fuse"
    assert provenance.parents["model"] == model_hash(base)
    assert set(provenance.parents) == {"model", "adapter"}
    assert not list(tmp_path.glob(".*"))
    assert not list(out.glob(".*"))


def test_an_adapter_runs_without_the_dropout_of_its_training(tmp_path: Path, base: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", base)
    plain = logits(load_with_adapter(base, read_adapter(adapter)))
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["lora_parameters"]["dropout"] = 0.5
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    assert mx.allclose(logits(load_with_adapter(base, read_adapter(adapter))), plain).item()


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_weights_keep_the_type_of_the_base(tmp_path: Path, kind: str) -> None:
    base = write_model(tmp_path / "base", dtype=mx.bfloat16)
    out = fuse(FuseOptions(), base, write_adapter(tmp_path / "a", base, kind), tmp_path / "out")
    before, after = read_weights(base).tensors, read_weights(out).tensors
    assert after == before


def test_an_adapter_of_another_model_is_refused(tmp_path: Path, base: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", base)
    weights = mx.load(str(adapter / "adapters.safetensors"))
    assert isinstance(weights, dict)
    mx.eval(weights)
    name = next(name for name in weights if name.endswith("lora_a"))

    def refused() -> str:
        with pytest.raises(TrainingError) as caught:
            fuse(FuseOptions(), base, adapter, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    mx.save_safetensors(str(adapter / "adapters.safetensors"), {**weights, name: mx.zeros((7, 2))})
    assert "does not fit this model" in refused()
    assert name in refused()
    mx.save_safetensors(
        str(adapter / "adapters.safetensors"), {**weights, "model.layers.9.lora_a": mx.zeros((2,))}
    )
    assert "model.layers.9.lora_a" in refused()
    del weights[name]
    mx.save_safetensors(str(adapter / "adapters.safetensors"), weights)
    assert f"it has no {name}" in refused()

    shutil.rmtree(adapter)
    write_adapter(adapter, base)
    record = {"made_by": "train", "parents": {"model": "f" * 64}}
    (adapter / "punie-model.json").write_text(json.dumps(record))
    assert "trained on another model" in refused()
    record["parents"] = {"model": model_hash(base)}
    (adapter / "punie-model.json").write_text(json.dumps(record))
    fuse(FuseOptions(), base, adapter, tmp_path / "out")


def test_a_folder_without_an_adapter_is_refused(tmp_path: Path, base: Path) -> None:
    with pytest.raises(TrainingError, match=r"no adapter in .*adapter_config\.json"):
        fuse(FuseOptions(), base, tmp_path, tmp_path / "out")
    adapter = write_adapter(tmp_path / "adapter", base)
    whole = (adapter / "adapters.safetensors").read_bytes()
    (adapter / "adapters.safetensors").write_bytes(whole[:-10])
    with pytest.raises(TrainingError, match="cut off"):
        fuse(FuseOptions(), base, adapter, tmp_path / "out")
    (adapter / "adapters.safetensors").write_bytes(whole)
    (adapter / "adapter_config.json").write_text("[")
    with pytest.raises(TrainingError, match="cannot be read"):
        fuse(FuseOptions(), base, adapter, tmp_path / "out")


def test_a_plain_model_has_nothing_to_fuse_into(tmp_path: Path, base: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", base)
    with pytest.raises(TrainingError, match="not quantised"):
        fuse(FuseOptions(into_quantized=True), base, adapter, tmp_path / "out")


def test_a_stopped_step_goes_on_from_its_shards(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = write_adapter(tmp_path / "adapter", base)
    monkeypatch.setattr(model_folder.write_weights, "__kwdefaults__", {"shard_bytes": 20_000})
    asked: list[int] = []

    def later() -> bool:
        asked.append(1)
        return len(asked) > 12

    with pytest.raises(Interrupted, match="goes on from there"):
        fuse(FuseOptions(), base, adapter, tmp_path / "out", stopped=later)
    assert not (tmp_path / "out").exists()
    unfinished = tmp_path / ".out.unfinished"
    kept = {file.name: file.stat().st_mtime_ns for file in unfinished.glob("model-*.safetensors")}
    assert kept

    out = fuse(FuseOptions(), base, adapter, tmp_path / "out")
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(read_weights(base).tensors)
    together = logits(load_with_adapter(base, read_adapter(adapter)))
    assert mx.allclose(logits_of(out), together, atol=1e-4).item()


def test_what_another_call_left_is_not_taken(tmp_path: Path, base: Path) -> None:
    left = tmp_path / ".out.unfinished"
    left.mkdir()
    shutil.copy(base / "model.safetensors", left)
    adapter = write_adapter(tmp_path / "adapter", base)
    out = fuse(FuseOptions(), base, adapter, tmp_path / "out")
    assert not mx.allclose(logits_of(out), logits_of(base), atol=1e-2).item()


def test_a_full_disk_is_told_before_and_while_writing(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = write_adapter(tmp_path / "adapter", base)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As a disk that fills up: writing beyond this fails (EFBIG) in MLX's own writer.
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(TrainingError, match=r"was not written .*make room and start again"):
            write_weights(tmp_path, {"a": mx.zeros((20_000,))})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.glob("*.safetensors"))
    assert not list(tmp_path.glob(".*.safetensors"))

    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=1_000))
    with pytest.raises(TrainingError, match="are free on that disk"):
        fuse(FuseOptions(), base, adapter, tmp_path / "out")
    assert not (tmp_path / "out").exists()
