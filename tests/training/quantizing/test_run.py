import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from punie.models.architecture import quantization_of
from punie.models.catalog import bundled_directory, read_json_object
from punie.models.provenance import read_provenance
from punie.models.weights import read_weights
from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example
from punie.training.errors import TrainingError
from punie.training.fusing import FuseOptions, fuse
from punie.training.model_folder import is_written
from punie.training.progress import Interrupted
from punie.training.provenance import model_hash
from punie.training.quantizing.options import LayerRule, QuantizeOptions
from punie.training.quantizing.report import read_report
from punie.training.quantizing.run import quantize
from tests.training.sample_conversations import conversations
from tests.training.sample_models import logits_of, write_adapter, write_model

GROUP: dict[str, int] = {"group_size": 32}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "dataset"
    examples = [Example.model_validate({"messages": each}) for each in conversations(12)]
    write_dataset(folder, Manifest(made_by="test"), {"all": examples})
    return folder


def options(**given: object) -> QuantizeOptions:
    return QuantizeOptions.model_validate({**GROUP, **given})


def distance(one: Path, other: Path) -> float:
    found: Any = (logits_of(one) - logits_of(other)).abs().mean().item()
    return float(found)


def test_fewer_bits_are_smaller_and_further_away(tmp_path: Path, base: Path, dataset: Path) -> None:
    sizes, apart, divergences = [], [], []
    for bits in (8, 6, 5, 4, 3, 2):
        out = quantize(options(bits=bits), base, dataset, tmp_path / f"q{bits}")
        found = read_report(out)
        assert found is not None
        assert found.comparison is not None
        assert found.after.bytes == read_weights(out).nbytes
        sizes.append(found.after.bits_per_weight)
        apart.append(distance(base, out))
        divergences.append(found.comparison.divergence)
        # 48 wide, no multiple of 32: stays as it is and is named.
        assert found.left_out == tuple(f"model.layers.{n}.mlp.down_proj" for n in (0, 1))
    assert sizes == sorted(sizes, reverse=True)
    assert apart == sorted(apart)
    assert divergences == sorted(divergences)
    assert divergences[0] < 1e-4 < divergences[-1]


def test_what_is_said_of_it_is_written_beside_it(tmp_path: Path, base: Path, dataset: Path) -> None:
    out = quantize(options(bits=4), base, dataset, tmp_path / "out")
    config = read_json_object(out / "config.json")
    packing = quantization_of(config)
    assert packing is not None
    assert (packing.bits, packing.group_size, packing.mode) == (4, 32, "affine")
    before = read_json_object(base / "config.json")
    assert {key: config[key] for key in before} == before
    assert set(config) - set(before) == {"quantization", "quantization_config"}
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (out / name).read_bytes() == (base / name).read_bytes()
    provenance = read_provenance(out)
    assert provenance is not None
    assert provenance.made_by == "quantize"
    assert provenance.parents["model"] == model_hash(base)
    assert provenance.settings["bits"] == 4
    found = read_report(out)
    assert found is not None
    assert found.comparison is not None
    assert found.comparison.examples == 12
    assert [row[0] for row in found.rows()] == [
        "weights",
        "bits per weight",
        "perplexity",
        "same next token",
        "divergence (nats)",
    ]


def test_the_same_call_makes_the_same_bytes(tmp_path: Path, base: Path) -> None:
    one = quantize(options(bits=3), base, None, tmp_path / "one")
    two = quantize(options(bits=3), base, None, tmp_path / "two")
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes(), file.name


@pytest.mark.parametrize(("mode", "group"), [("mxfp4", 32), ("mxfp8", 32), ("nvfp4", 16)])
def test_floating_point_modes(tmp_path: Path, base: Path, mode: str, group: int) -> None:
    chosen = QuantizeOptions.model_validate({"mode": mode})
    out = quantize(chosen, base, None, tmp_path / "out")
    packing = quantization_of(read_json_object(out / "config.json"))
    assert packing is not None
    assert (packing.group_size, packing.mode) == (group, mode)
    assert 0 < distance(base, out) < 1


def test_rules_and_recipes(tmp_path: Path, base: Path) -> None:
    rules = (
        LayerRule(layers=r"layers\.0\..*q_proj", bits=None),
        LayerRule(layers="q_proj|embed", bits=8),
    )
    out = quantize(options(bits=2, rules=rules), base, None, tmp_path / "rules")
    told = read_json_object(out / "config.json")["quantization"]
    tensors = read_weights(out).tensors
    assert "model.layers.0.self_attn.q_proj.scales" not in tensors
    assert told["model.layers.1.self_attn.q_proj"]["bits"] == 8
    assert told["model.embed_tokens"]["bits"] == 8
    assert "model.layers.1.self_attn.k_proj" not in told
    assert distance(base, out) < distance(
        base, quantize(options(bits=2), base, None, tmp_path / "plain")
    )

    out = quantize(options(recipe="mixed_2_6"), base, None, tmp_path / "mixed")
    told = read_json_object(out / "config.json")["quantization"]
    assert told["bits"] == 2
    assert {entry["bits"] for entry in told.values() if isinstance(entry, dict)} == {6}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bits": 8, "mode": "mxfp4", "group_size": None}, "4 bits in groups of 32"),
        ({"group_size": 16}, "Groups of 16"),
        ({"recipe": "mixed_2_6", "mode": "mxfp8"}, "leave the recipe"),
        ({"recipe": "mixed_2_6", "bits": 4}, "leave bits out"),
        ({"rules": ({"layers": "(", "bits": 4},)}, "no regular expression"),
        ({"rules": ({"layers": "nowhere", "bits": 4},)}, "'nowhere'"),
        ({"group_size": 128}, "smaller group size"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, base: Path, given: dict[str, object], said: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        quantize(options(**given), base, None, tmp_path / "out")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_is_quantised_is_not_quantised_again(tmp_path: Path, base: Path) -> None:
    out = quantize(options(bits=4), base, None, tmp_path / "out")
    with pytest.raises(TrainingError, match=r"quantised already \(4 bits\)"):
        quantize(options(bits=2), out, None, tmp_path / "again")


def test_a_stopped_comparison_goes_on_from_the_weights(
    tmp_path: Path, base: Path, dataset: Path
) -> None:
    whole = quantize(options(bits=4), base, dataset, tmp_path / "whole")
    with pytest.raises(Interrupted):
        quantize(
            options(bits=4),
            base,
            dataset,
            tmp_path / "out",
            stopped=lambda: is_written(tmp_path / ".out.unfinished"),
        )
    assert not (tmp_path / "out").exists()
    written = (tmp_path / ".out.unfinished" / "model.safetensors").stat().st_mtime_ns
    out = quantize(options(bits=4), base, dataset, tmp_path / "out")
    assert (out / "model.safetensors").stat().st_mtime_ns == written
    for file in whole.iterdir():
        assert file.read_bytes() == (out / file.name).read_bytes(), file.name


def test_an_adapter_on_a_quantised_base(tmp_path: Path, base: Path) -> None:
    packed = quantize(options(bits=8), base, None, tmp_path / "packed")
    adapter = write_adapter(tmp_path / "adapter", packed)
    (adapter / "punie-model.json").write_text(
        json.dumps({"made_by": "train", "parents": {"model": model_hash(base)}})
    )

    out = fuse(FuseOptions(), packed, adapter, tmp_path / "out")
    assert quantization_of(read_json_object(out / "config.json")) is None
    assert read_weights(out).tensors == read_weights(base).tensors
    provenance = read_provenance(out)
    assert provenance is not None
    assert provenance.settings["dequantized"] is True

    into = fuse(FuseOptions(into_quantized=True), packed, adapter, tmp_path / "into")
    assert (into / "config.json").read_bytes() == (packed / "config.json").read_bytes()
    assert read_weights(into).tensors == read_weights(packed).tensors
    # At 8 bits little is lost by it.
    assert mx.allclose(logits_of(into), logits_of(out), atol=0.1).item()
    assert distance(out, packed) > 10 * distance(out, into)


def test_tasks_are_solved_before_and_after(tmp_path: Path) -> None:
    chosen = QuantizeOptions(bits=8, tasks=2)
    unfinished = tmp_path / ".out.unfinished"

    def halfway() -> bool:
        return (unfinished / "tasks" / "before").is_dir()

    with pytest.raises(Interrupted):
        quantize(chosen, bundled_directory(), None, tmp_path / "out", stopped=halfway)
    (results,) = unfinished.glob("tasks/before/results.jsonl")
    # As if the first had been solved: what is known is not asked again.
    done = [json.loads(line) for line in results.read_text().splitlines()]
    for each in done:
        each["verdict"]["checks"]["solved"]["strict"] = True
    results.write_text("".join(json.dumps(each) + "\n" for each in done))

    out = quantize(chosen, bundled_directory(), None, tmp_path / "out")
    found = read_report(out)
    assert found is not None
    assert found.solved is not None
    assert (found.solved.tasks, found.solved.before) == (2, 2)
    assert "tasks solved" in [row[0] for row in found.rows()]
    assert not (out / "tasks").exists()


def test_what_cannot_be_measured_is_refused_before_the_work(tmp_path: Path, base: Path) -> None:
    broken = tmp_path / "broken"
    example = Example.model_validate({"messages": conversations(1)[0]})
    write_dataset(broken, Manifest(made_by="test"), {"test": [example, example]})
    lines = (broken / "test.jsonl").read_text().splitlines()
    (broken / "test.jsonl").write_text(f"{lines[0]}\n{lines[1][:40]}\n")
    for given, data, said in (
        ({}, broken, "test.jsonl, line 2"),
        ({}, tmp_path / "nowhere", "no dataset"),
        ({"tasks": 1, "preset": "nothing"}, None, "no preset 'nothing'"),
    ):
        with pytest.raises(TrainingError, match=said):
            quantize(options(**given), base, data, tmp_path / "out")
    assert not list(tmp_path.glob(".out*"))
