import shutil
from pathlib import Path

import pytest

from punie.models.catalog import bundled_directory
from punie.training.errors import TrainingError
from punie.training.pipeline.pipeline import Order, run_pipeline
from punie.training.pipeline.plan import Plan, plan_json, plan_lines, plan_recipe
from punie.training.pipeline.recipe import read_recipe, shipped_recipes
from punie.training.pipeline.runs import read_run
from punie.training.pipeline.status import duration
from punie.training.pipeline.store import Store
from tests.assets import ASSETS, needs_assets
from tests.training.pipeline.conftest import write_sound

RECIPE = """
name = "made"
model = "punie-tiny"

[steps.parts]
kind = "filter"
dataset = "data"
least_messages = 2

[steps.adapter]
kind = "tune"
dataset = "data"
rank = 8
layers = 8
steps = 600
longest = 2048
recompute = true
batch = 1

[steps.whole]
kind = "fuse"
adapter = "@adapter"

[steps.packed]
kind = "quantize"
model = "@whole"
bits = 5
"""


LOOK = """
[steps.look]
kind = "gate-data"
dataset = "data"
model = "model"
most_of_one_tool = 1
most_leaks = 100
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sound(tmp_path / "data")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def plan(folder: Path, model: str = "punie-tiny") -> Plan:
    recipe = read_recipe(str(folder / "recipe.toml"), {"model": model})
    return plan_recipe(recipe, Store(folder / "store"))


def test_all_that_is_known_of_the_bundled_model(folder: Path) -> None:
    found = plan(folder)
    told = "\n".join(plan_lines(found))

    assert found.problems == ()
    assert found.cautions == ()
    assert list(found.steps) == [
        "gate-zero:punie-tiny",
        "gate-data:data",
        "parts",
        "adapter",
        "gate-training:adapter",
        "whole",
        "gate-conversion:whole",
        "packed",
        "gate-conversion:packed",
        "gate-serving:packed",
    ]
    assert "4 x model.layers.*.self_attn.q_proj.weight 256 x 256" in told
    assert "40 examples, " in told
    assert "result: model made (from packed)" in told
    assert found.steps["adapter"].tokens is not None
    assert found.steps["adapter"].tokens.counted == 40
    assert found.steps["whole"].need.disk == found.models[0].parameters * 4
    assert found.seconds is None
    assert plan_json(found)["steps"][3]["options"]["rank"] == 8


@needs_assets
def test_the_same_recipe_with_a_model_of_30_billion_parameters_and_no_weights(
    folder: Path,
) -> None:
    model = folder / "Qwen3-Coder-30B-A3B"
    model.mkdir()
    for file in (ASSETS / "qwen3-coder-30b-a3b").glob("*.json"):
        (model / file.name).symlink_to(file)
    template = ASSETS / "chat-templates" / "Qwen3-Coder-30B-A3B-Instruct.jinja"
    shutil.copy(template, model / "chat_template.jinja")

    found = plan(folder, str(model))
    told = "\n".join(plan_lines(found))
    (base,) = found.models

    assert found.problems == ()
    assert base.gate.passed
    assert (base.kind, base.parameters, base.weights) == ("qwen3_moe", 30_532_122_624, 0)
    assert "48 x model.layers.*.mlp.switch_mlp.down_proj.weight 128 x 2048 x 768" in told
    assert "The weights of " in found.cautions[0]
    adapter, whole, packed = (found.steps[name] for name in ("adapter", "whole", "packed"))
    assert adapter.tokens is not None
    assert adapter.tokens.tokens > 1000
    assert adapter.need.memory is not None
    assert adapter.need.memory > 2 * base.parameters
    assert whole.need.disk == 2 * base.parameters
    assert packed.need.disk is not None
    assert round(packed.need.disk * 8 / base.parameters, 3) == 5.501
    recipe = read_recipe(str(folder / "recipe.toml"), {"model": str(model)})
    with pytest.raises(TrainingError, match="has no weights"):
        run_pipeline(recipe, Store(folder / "store"), Order("recipe.toml"))
    # What reads no weights runs without them.
    (folder / "recipe.toml").write_text(LOOK)
    recipe = read_recipe(str(folder / "recipe.toml"), {"look.model": str(model)})
    run = run_pipeline(recipe, Store(folder / "store"), Order("recipe.toml"))
    assert {step.state for step in run.steps} == {"done"}


def test_a_model_whose_template_knows_no_tools_is_a_problem_before_anything_runs(
    folder: Path,
) -> None:
    shutil.copytree(bundled_directory(), folder / "plain")
    template = (
        "{% for m in messages if m.role in ('user', 'assistant') %}<|im_start|>{{ m.role }}\n"
    )
    template += "{{ m.content }}<|im_end|>\n"
    (folder / "plain" / "chat_template.jinja").write_text(template + "{% endfor %}")

    found = plan(folder, str(folder / "plain"))

    assert any("knows no tools" in problem for problem in found.problems)
    assert not (folder / "store" / "steps").exists()
    recipe = read_recipe(str(folder / "recipe.toml"), {"model": str(folder / "plain")})
    with pytest.raises(TrainingError, match="gate zero did not let it pass"):
        run_pipeline(recipe, Store(folder / "store"), Order("recipe.toml"))
    run = read_run(Store(folder / "store"), "made")
    assert [step.state for step in run.steps[:2]] == ["refused", "waiting"]


def test_what_cannot_work_is_refused_before_anything_runs(folder: Path) -> None:
    text = RECIPE.replace("bits = 5", 'bits = 5\nmode = "mxfp4"')
    (folder / "recipe.toml").write_text(text)
    recipe = read_recipe(str(folder / "recipe.toml"))

    assert any(problem.startswith("packed: mxfp4 has 4 bits") for problem in plan(folder).problems)
    with pytest.raises(TrainingError, match="packed: mxfp4 has 4 bits"):
        run_pipeline(recipe, Store(folder / "store"), Order("recipe.toml"))
    assert not (folder / "store" / "steps").exists()


def test_what_is_there_and_how_long_the_rest_may_take(folder: Path) -> None:
    text = RECIPE.split("\n[steps.adapter]")[0]
    (folder / "recipe.toml").write_text(text)
    run = run_pipeline(
        read_recipe(str(folder / "recipe.toml")), Store(folder / "store"), Order("recipe.toml")
    )
    again = plan(folder)
    (folder / "recipe.toml").write_text(text.replace("least_messages = 2", "least_messages = 3"))
    other = plan(folder)

    assert run.state == "done"
    assert again.steps["parts"].record is not None
    assert again.seconds == 0
    assert other.steps["parts"].record is None
    assert other.steps["parts"].like == 1
    assert other.seconds is not None
    assert other.seconds > 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (100, "2 min"), (5_000, "83 min"), (12_000, "3 h 20 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_shipped_recipes_can_be_planned(folder: Path) -> None:
    assert {"small", "tool-caller"} <= set(shipped_recipes())
    for name in shipped_recipes():
        recipe = read_recipe(name)
        if recipe.model is None:
            recipe = recipe.with_values({"model": "punie-tiny"})
        assert plan_recipe(recipe, Store(folder / "store")).problems == (), name
