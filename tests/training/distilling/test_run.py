"""A student that is there learns from a larger teacher."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from punie.models.mlx.chat_format import ChatFormat
from punie.models.provenance import read_provenance
from punie.training.data.dataset import open_dataset
from punie.training.distilling.run import DistillOptions, distill, shares_tokens
from punie.training.encoding import encode_part
from punie.training.errors import TrainingError
from punie.training.pipeline.graph import recipe_graph
from punie.training.pipeline.pipeline import whole_model
from punie.training.pipeline.recipe import read_recipe
from punie.training.pipeline.step import Given
from punie.training.progress import Interrupted
from punie.training.provenance import model_hash
from punie.training.tuning.run import prepare, tune
from tests.training.distilling.small_models import divergence, opinionated, random_model
from tests.training.sample_conversations import SHAPE, write_data

pytestmark = pytest.mark.usefixtures("uncompiled")

_RECIPE: dict[str, Any] = {
    "steps": 6, "batch": 4, "warm_up": 1, "learning_rate": 3e-3, "validation_steps": 100,
    "teaching": {"weight": 1.0, "temperature": 1.0, "top": SHAPE.vocab_size},
}  # fmt: skip
WEIGHTS = "model.safetensors"


def options(**more: Any) -> DistillOptions:
    return DistillOptions.model_validate(_RECIPE | more)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distil")
    write_data(folder / "data", 20, 4)
    opinionated(folder / "teacher", seed=9)
    random_model(folder / "student", seed=2)
    return folder


@pytest.fixture(scope="module")
def distilled(place: Path) -> Path:
    return run(place, "distilled", options())


def run(place: Path, name: str, chosen: DistillOptions, **more: Any) -> Path:
    teacher, student, data = (place / each for each in ("teacher", "student", "data"))
    return distill(chosen, teacher, student, data, place / name, **more)


def test_it_comes_closer_and_tells_from_whom(place: Path) -> None:
    longer = run(place, "longer", options(steps=20))
    teacher, student, data = (place / name for name in ("teacher", "student", "data"))
    before = divergence(teacher, student, data)
    assert divergence(teacher, longer, data) < 0.8 * before
    provenance = read_provenance(longer)
    assert provenance is not None
    assert provenance.made_by == "distill"
    assert provenance.parents == {
        "model": model_hash(student),
        "teacher": model_hash(teacher),
        "dataset": open_dataset(data).hash,
    }
    assert provenance.settings["teaching"]["weight"] == 1.0
    adapter = run(place, "adapter", options(kind="lora", rank=4, steps=12))
    assert divergence(teacher, student, data, adapter) < before


def test_it_goes_on_bit_for_bit(place: Path, distilled: Path) -> None:
    # Once as it reads, once before the teacher reads, then before every step.
    asked = iter([False, False, False, False, False, True])
    with pytest.raises(Interrupted, match="after 3 of 6"):
        run(place, "again", options(), stopped=lambda: next(asked))
    assert (place / ".again.unfinished" / "targets").is_dir()
    again = run(place, "again", options())
    assert not (again / "targets").exists()
    assert (again / WEIGHTS).read_bytes() == (distilled / WEIGHTS).read_bytes()


def test_kept_targets_serve_another_run(place: Path) -> None:
    one = run(place, "one", options(), targets=place / "targets")
    # What the teacher said is enough: it is not even loaded.
    told: list[str] = []
    two = run(
        place, "two", options(), targets=place / "targets", report=lambda p: told.append(p.doing)
    )
    assert "training" in told
    assert "asking the teacher" not in told
    assert (one / WEIGHTS).read_bytes() == (two / WEIGHTS).read_bytes()


def test_with_other_tokens_only_the_answers_are_learned(place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(place / "teacher", other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:-1]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert not shares_tokens(other, place / "student")
    assert shares_tokens(place / "teacher", place / "student")
    found = distill(options(), other, place / "student", place / "data", tmp_path / "found")
    tuned = tune(options(), place / "student", place / "data", tmp_path / "tuned")
    assert (found / WEIGHTS).read_bytes() == (tuned / WEIGHTS).read_bytes()
    provenance = read_provenance(found)
    assert provenance is not None
    assert provenance.parents["teacher"] == model_hash(other)


def test_a_draft_model_learns_what_its_target_reads(place: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    shutil.copytree(place / "teacher", target)
    template = target / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_start|>user", "<|im_start|>asks"))
    out = distill(
        options(draft=True, steps=2), target, place / "student", place / "data", tmp_path / "draft"
    )
    found = json.loads((out / "training.json").read_text())
    read = encode_part(ChatFormat.load(target), open_dataset(place / "data"), "train", 2048)
    own = prepare(options(), place / "student", place / "data").training
    assert found["training"]["tokens"] == sum(len(each.ids) for each in read.sequences)
    assert found["training"]["tokens"] != sum(len(each.ids) for each in own.sequences)
    text = (target / "tokenizer.json").read_text()
    (target / "tokenizer.json").write_text(text.replace('"<think>"', '"<thought>"'))
    with pytest.raises(TrainingError, match="cannot draft"):
        distill(
            options(draft=True), target, place / "student", place / "data", tmp_path / "refused"
        )


def test_all_weights_are_trained_unless_an_adapter_is_asked_for() -> None:
    assert options().kind == "full"
    assert options().embeddings
    assert not options(kind="lora").embeddings
    with pytest.raises(ValidationError, match="embeddings"):
        options(kind="lora", embeddings=True)


def test_it_is_a_step_of_recipes(place: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(
        f"""\
name = "small"

[steps.small]
kind = "distill"
teacher = "{place / "teacher"}"
student = "{place / "student"}"
dataset = "{place / "data"}"
method = "lora"
steps = 20
teaching = {{ weight = 0.7 }}
"""
    )
    node = recipe_graph(read_recipe(str(tmp_path / "recipe.toml"), {}), whole_model).nodes["small"]
    assert isinstance(node.options, DistillOptions)
    assert (node.options.kind, node.options.embeddings) == ("lora", False)
    assert node.options.teaching.weight == 0.7
    assert node.makes == "adapter"
    config = json.loads((place / "student" / "config.json").read_text())
    paths = {"teacher": place / "teacher"}
    beside = node.step.need(node.options, Given(paths, {"student": config}))
    alone = node.step.need(node.options, Given({}, {"student": config}))
    assert beside.memory is not None
    assert alone.memory is not None
    weights = (place / "teacher" / WEIGHTS).stat().st_size
    assert beside.memory - alone.memory == weights
