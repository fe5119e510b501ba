import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from punie.models.catalog import bundled_directory
from punie.models.machine import MachineMemory
from punie.models.mlx.library import load_model
from punie.models.provenance import read_provenance
from punie.training.curve import read_curve
from punie.training.data.dataset import Manifest, open_dataset, write_dataset
from punie.training.data.example import Example
from punie.training.data.rendering import render_dataset
from punie.training.errors import TrainingError
from punie.training.fusing import load_with_adapter, read_adapter
from punie.training.measuring import measure
from punie.training.model_folder import tensors_of
from punie.training.progress import Interrupted, Progress
from punie.training.provenance import model_hash
from punie.training.quantizing.options import QuantizeOptions
from punie.training.quantizing.run import quantize
from punie.training.tuning import run
from punie.training.tuning.options import TuneOptions
from punie.training.tuning.run import prepare, tune
from tests.training.sample_conversations import conversations, write_data
from tests.training.sample_models import logits, write_experts, write_model

pytestmark = pytest.mark.usefixtures("uncompiled")

_RECIPE: dict[str, Any] = {
    "layers": 1, "rank": 2, "scale": 4.0, "dropout": 0.1, "steps": 6, "batch": 3, "accumulate": 2,
    "learning_rate": 1e-2, "warm_up": 2, "validation_steps": 4,
}  # fmt: skip
_OPTIONS = TuneOptions(**_RECIPE)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "data", train=20, valid=4)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, base: Path, data: Path) -> Path:
    return tune(_OPTIONS, base, data, tmp_path_factory.mktemp("tuned") / "adapter")


def test_an_adapter_is_what_mlx_lm_loads_and_tells_where_it_comes_from(
    tuned: Path, base: Path, data: Path
) -> None:
    adapter = read_adapter(tuned)
    assert adapter.kind == "lora"
    loaded = load_with_adapter(base, adapter)
    assert not mx.allclose(logits(loaded), logits(load_model(base)[0]), atol=1e-4).item()
    config = json.loads((tuned / "adapter_config.json").read_text())
    assert config == {
        "fine_tune_type": "lora",
        "num_layers": 1,
        "lora_parameters": {"rank": 2, "scale": 4.0, "dropout": 0.1},
    }
    provenance = read_provenance(tuned)
    assert provenance is not None
    assert provenance.made_by == "train"
    hashes = {"model": model_hash(base), "dataset": open_dataset(data).hash}
    assert provenance.parents == hashes
    about = json.loads((tuned / "training.json").read_text())
    assert about["parents"] == hashes
    assert TuneOptions.model_validate(about["options"]) == _OPTIONS
    assert set(about["versions"]) == {"punie", "mlx", "mlx-lm", "python"}
    assert (about["training"]["sequences"], about["training"]["too_long"]) == (20, 0)
    assert not list(tuned.glob(".*"))
    assert not list(tuned.parent.glob(".*"))


def test_the_curve_tells_every_step_and_what_was_measured(
    tuned: Path, base: Path, data: Path
) -> None:
    rows = read_curve(tuned / "curve.jsonl")
    assert [row["step"] for row in rows] == list(range(7))
    assert [row["step"] for row in rows if "valid_loss" in row] == [0, 4, 6]
    for row in rows[1:]:
        assert row["peak_memory"] > 0
        assert row["tokens_per_second"] > row["learned_per_second"] > 0
    assert rows[-1]["train_loss"] < rows[1]["train_loss"]
    assert rows[-1]["valid_loss"] < rows[0]["valid_loss"]
    assert rows[0]["valid_loss"] == pytest.approx(measure(base, None, data, "valid").loss)
    after = measure(base, tuned, data, "valid")
    assert rows[-1]["valid_loss"] == pytest.approx(after.loss, rel=1e-5)
    assert rows[-1]["valid_exact"] == after.exact_turns.value
    svg = (tuned / "curve.svg").read_text()
    assert "training" in svg
    assert "validation" in svg


@pytest.mark.parametrize("kind", ["dora", "full"])
def test_other_kinds_go_on_with_the_same_bits(
    tmp_path: Path, base: Path, data: Path, kind: str
) -> None:
    options = TuneOptions(**{**_RECIPE, "kind": kind, "steps": 3, "recompute": kind == "full"})
    whole = tune(options, base, data, tmp_path / "whole")
    steps: list[float] = []

    def note(progress: Progress) -> None:
        if progress.doing == "training":
            steps.append(progress.done)

    with pytest.raises(Interrupted, match="Stopped after 2 of 3 steps; the same command"):
        tune(options, base, data, tmp_path / "parts", note, lambda: bool(steps) and steps[-1] == 2)
    assert not (tmp_path / "parts").exists()
    parts = tune(options, base, data, tmp_path / "parts", note)
    assert steps == [1, 2, 3]
    file = "model.safetensors" if kind == "full" else "adapters.safetensors"
    assert (parts / file).read_bytes() == (whole / file).read_bytes()


def test_full_training_makes_a_model_whose_embeddings_stay(
    tmp_path: Path, base: Path, data: Path
) -> None:
    options = TuneOptions(**{**_RECIPE, "kind": "full", "steps": 3, "dropout": 0.0})
    frozen = tensors_of(load_model(tune(options, base, data, tmp_path / "frozen"))[0])
    given = options.model_copy(update={"embeddings": True, "layers": 0})
    every = tensors_of(load_model(tune(given, base, data, tmp_path / "every"))[0])
    before = tensors_of(load_model(base)[0])
    changed = {name for name in before if not mx.array_equal(frozen[name], before[name]).item()}
    assert changed
    assert all(name.startswith("model.layers.1.") for name in changed)
    assert not mx.array_equal(
        every["model.embed_tokens.weight"], frozen["model.embed_tokens.weight"]
    )
    assert not mx.array_equal(
        every["model.layers.0.mlp.up_proj.weight"], before["model.layers.0.mlp.up_proj.weight"]
    )
    provenance = read_provenance(tmp_path / "frozen")
    assert provenance is not None
    assert provenance.parents["model"] == model_hash(base)
    for name in ("tokenizer.json", "chat_template.jinja", "config.json"):
        assert (tmp_path / "frozen" / name).read_bytes() == (base / name).read_bytes()
    assert not list((tmp_path / "frozen").glob("checkpoint*"))


def _tune_elsewhere(
    base: Path,
    data: Path,
    out: Path,
    *,
    recipe: dict[str, Any] = _RECIPE,
    largest: int | None = None,
    threads: int | None = None,
) -> subprocess.Popen[str]:
    """Tune in another process, which prints each step and saves after each."""
    prepare = "" if threads is None else f"prepare_process({threads}, exact=True)"
    code = f"""
from punie.training.process import prepare_process
{prepare}
from pathlib import Path
from punie.training.tuning.run import tune
from punie.training.quantizing.options import QuantizeOptions
from punie.training.quantizing.run import quantize
from punie.training.tuning.options import TuneOptions
options = TuneOptions.model_validate_json({json.dumps(recipe)!r})
tune(options, Path({str(base)!r}), Path({str(data)!r}), Path({str(out)!r}),
     lambda progress: print(progress.doing, progress.done, flush=True), checkpoint_seconds=0)
"""
    limit = None
    if largest is not None:
        size = largest

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MLX_DISABLE_COMPILE": "1"},
        preexec_fn=limit,
    )


def test_a_killed_run_ends_with_the_same_bits(
    tmp_path: Path, base: Path, data: Path, tuned: Path
) -> None:
    out = tmp_path / "adapter"
    with _tune_elsewhere(base, data, out) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("training 3"):
                os.kill(process.pid, signal.SIGKILL)
                break
    assert not out.exists()
    assert (tmp_path / ".adapter.unfinished" / "checkpoint.safetensors").is_file()
    steps: list[float] = []

    def note(progress: Progress) -> None:
        if progress.doing == "training":
            steps.append(progress.done)

    tune(_OPTIONS, base, data, out, note)
    assert steps[0] > 1
    for name in ("adapters.safetensors", "adapter_config.json", "curve.svg", "training.json"):
        assert (out / name).read_bytes() == (tuned / name).read_bytes()
    assert [row["step"] for row in read_curve(out / "curve.jsonl")] == list(range(7))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere MLX brings its own products")
def test_two_processes_give_the_same_bits_whatever_they_were_asked_for(
    tmp_path: Path, data: Path
) -> None:
    recipe = {**_RECIPE, "steps": 1, "warm_up": 0, "accumulate": 1, "batch": 1}
    running = [
        _tune_elsewhere(bundled_directory(), data, tmp_path / str(n), recipe=recipe, threads=n)
        for n in (1, 3)
    ]
    for process in running:
        with process:
            errors = process.communicate()[1]
        assert process.returncode == 0, errors
    first, second = ((tmp_path / each / "adapters.safetensors").read_bytes() for each in "13")
    assert first == second


def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_stays(
    tmp_path: Path, base: Path, data: Path
) -> None:
    out, recipe = tmp_path / "adapter", {**_RECIPE, "rank": 1}
    stopped: list[int] = []
    with pytest.raises(Interrupted):
        tune(
            TuneOptions(**recipe),
            base,
            data,
            out,
            lambda progress: stopped.append(1) if progress.doing == "training" else None,
            lambda: bool(stopped),
        )
    checkpoint = tmp_path / ".adapter.unfinished" / "checkpoint.safetensors"
    before = checkpoint.read_bytes()
    with _tune_elsewhere(base, data, out, recipe=recipe, largest=len(before) // 2) as process:
        errors = process.communicate()[1]
    (said,) = [line for line in errors.splitlines() if line.startswith("punie.training.errors.")]
    assert "was not written" in said or "cannot be written" in said
    assert checkpoint.read_bytes() == before
    assert not out.exists()
    assert not list(checkpoint.parent.glob(".checkpoint*"))


def test_a_disk_without_room_for_result_and_checkpoints_is_refused_before_the_work(
    tmp_path: Path, base: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=10_000))
    with pytest.raises(TrainingError, match="are free on that disk"):
        tune(_OPTIONS, base, data, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_a_kill_while_the_result_is_written_costs_no_step(
    tmp_path: Path, base: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TuneOptions(**{**_RECIPE, "kind": "full", "steps": 3, "dropout": 0.0})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run, "write_weights", killed)
        with pytest.raises(KeyboardInterrupt):
            tune(options, base, data, tmp_path / "out")
    done: list[str] = []
    tune(options, base, data, tmp_path / "out", lambda progress: done.append(progress.doing))
    assert "writing weights" in done
    assert "training" not in done


def test_a_loss_that_is_no_number_stops_with_the_last_good_checkpoint(
    tmp_path: Path, base: Path, data: Path
) -> None:
    wild = TuneOptions(
        **{**_RECIPE, "learning_rate": 1e30, "optimizer": "sgd", "clip": 0.0, "dropout": 0.0}
    )
    with pytest.raises(TrainingError, match=r"finite number.*lower learning rate") as caught:
        tune(wild, base, data, tmp_path / "out", checkpoint_seconds=0)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    file = tmp_path / ".out.unfinished" / "checkpoint.safetensors"
    assert ("There was no checkpoint" in str(caught.value)) == (not file.exists())


def test_what_cannot_be_learned_is_refused_before_anything_is_written(
    tmp_path: Path, base: Path, data: Path
) -> None:
    def refused(options: TuneOptions, dataset: Path, model: Path = base) -> str:
        with pytest.raises(TrainingError) as caught:
            tune(options, model, dataset, tmp_path / "out")
        assert not list(tmp_path.glob("*out*"))
        return str(caught.value)

    empty = write_dataset(tmp_path / "empty", Manifest(made_by="x"), {"train": []}).folder
    assert "has nothing to learn" in refused(_OPTIONS, empty)
    lost = Example.model_validate({"messages": conversations(1)[0], "prefix": "gone"})
    folder = write_dataset(tmp_path / "lost", Manifest(made_by="x"), {"train": [lost]}).folder
    assert "no prompt prefix 'gone'" in refused(_OPTIONS, folder)
    assert "has no part 'train'" in refused(
        _OPTIONS, write_dataset(tmp_path / "whole", Manifest(made_by="x"), {"all": []}).folder
    )
    large = _OPTIONS.model_copy(update={"batch": 21})
    assert "20 sequences, fewer than a batch of 21" in refused(large, data)
    short = _OPTIONS.model_copy(update={"longest": 100})
    assert "are longer than 100 tokens (the longest has" in refused(short, data)
    unknown = _OPTIONS.model_copy(update={"keys": ("self_attn.x_proj",)})
    assert "no 'self_attn.x_proj'; it has mlp.down_proj" in refused(unknown, data)
    template = write_model(tmp_path / "plain")
    (template / "chat_template.jinja").write_text(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    assert "cannot be trained to call tools: The template drops the calls" in refused(
        _OPTIONS, data, template
    )


def test_a_few_sequences_that_are_too_long_are_left_out(base: Path, data: Path) -> None:
    longest = prepare(_OPTIONS, base, data).training.longest
    options = _OPTIONS.model_copy(update={"longest": longest - 1, "too_long": 1.0})
    found = prepare(options, base, data).training
    assert found.too_long > 0
    assert len(found.sequences) == 20 - found.too_long
    assert found.longest == longest


def test_a_run_that_cannot_fit_is_refused_unless_it_is_forced(
    tmp_path: Path, base: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = MachineMemory(10**6, 10**6, 10**6, "ram")
    monkeypatch.setattr(run, "machine_memory", lambda: small)
    options = _OPTIONS.model_copy(update={"steps": 3})
    with pytest.raises(TrainingError, match=r"needs about .* and 1 MB can be used here"):
        tune(options, base, data, tmp_path / "out")
    assert tune(options, base, data, tmp_path / "out", force=True).is_dir()


def test_a_quantised_base_takes_an_adapter_but_not_full_training(
    tmp_path: Path, base: Path, data: Path
) -> None:
    options = QuantizeOptions(bits=4, group_size=32)
    packed = quantize(options, base, None, tmp_path / "packed")
    recipe = TuneOptions(**{**_RECIPE, "steps": 3, "accumulate": 1})
    adapter = tune(recipe, packed, data, tmp_path / "adapter")
    rows = read_curve(adapter / "curve.jsonl")
    assert rows[-1]["valid_loss"] < rows[0]["valid_loss"]
    loaded = load_with_adapter(packed, read_adapter(adapter))
    assert "scales" in loaded.layers[-1].self_attn.q_proj.linear
    with pytest.raises(TrainingError, match="weights of a quantised model cannot be trained"):
        tune(TuneOptions(kind="full"), packed, data, tmp_path / "full")


def test_experts_take_an_adapter(tmp_path: Path, data: Path) -> None:
    experts = write_experts(tmp_path / "experts")
    recipe = TuneOptions(**{**_RECIPE, "steps": 3, "accumulate": 1})
    adapter = tune(recipe, experts, data, tmp_path / "adapter")
    kept = mx.load(str(adapter / "adapters.safetensors"))
    assert isinstance(kept, dict)
    # Both matrices of each expert, beside those of the attention and of the router.
    assert kept["model.layers.1.mlp.switch_mlp.up_proj.lora_b"].shape == (4, 16, 2)
    assert kept["model.layers.1.mlp.switch_mlp.up_proj.lora_b"].any().item()
    rows = read_curve(adapter / "curve.jsonl")
    assert rows[-1]["valid_loss"] < rows[0]["valid_loss"]
    loaded = load_with_adapter(experts, read_adapter(adapter))
    assert not mx.allclose(logits(loaded), logits(load_model(experts)[0]), atol=1e-4).item()


def test_rendered_data_give_the_same_bits_and_those_for_another_model_are_refused(
    tmp_path: Path, base: Path, data: Path, tuned: Path
) -> None:
    rendered = render_dataset(data, base, tmp_path / "rendered").folder
    again = tune(_OPTIONS, base, rendered, tmp_path / "adapter")
    for name in ("adapters.safetensors", "punie-model.json"):
        assert (again / name).read_bytes() == (tuned / name).read_bytes()

    other = shutil.copytree(base, tmp_path / "other")
    template = other / "chat_template.jinja"
    template.write_text(template.read_text() + "{# another one #}")
    with pytest.raises(TrainingError, match="another tokenizer or chat template"):
        tune(_OPTIONS, other, rendered, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))
