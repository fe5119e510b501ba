from pathlib import Path

import pytest

from punie.training.errors import TrainingError
from punie.training.pipeline.graph import recipe_graph
from punie.training.pipeline.pipeline import whole_model
from punie.training.pipeline.recipe import read_recipe, setting
from tests.training.sample_conversations import write_data

RECIPE = """\
name = "small"
seed = 4

[steps.base]
kind = "pretrain"
dataset = "data"
layers = 2
steps = 3

[steps.packed]
kind = "quantize"
model = "@base"
bits = 4
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_data(tmp_path / "data", 4, 2)
    return tmp_path


def graph(folder: Path, text: str, **values: object) -> object:
    (folder / "recipe.toml").write_text(text)
    recipe = read_recipe(str(folder / "recipe.toml"), values)
    return recipe_graph(recipe, whole_model)


def test_options_inputs_and_the_seed_of_the_recipe(folder: Path) -> None:
    (folder / "recipe.toml").write_text(RECIPE)
    recipe = read_recipe(str(folder / "recipe.toml"), {"base.steps": 7, "packed.bits": 8})

    nodes = recipe_graph(recipe, whole_model).nodes

    assert list(nodes) == ["base", "packed"]
    assert (nodes["base"].options.layers, nodes["base"].options.steps) == (2, 7)
    assert (nodes["base"].options.seed, nodes["packed"].options.bits) == (4, 8)
    assert nodes["packed"].needed == ["base"]


def test_steps_are_ordered_by_what_they_need(folder: Path) -> None:
    first, second = RECIPE.split("\n[steps.packed]")
    turned = first.split("[steps.base]")[0] + "[steps.packed]" + second + "\n[steps.base]"
    found = graph(folder, turned + first.split("[steps.base]")[1])

    assert list(found.nodes) == ["base", "packed"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("layers = 2", "layer = 2", "line 7: steps.base: there is no 'layer' here; did you mean"),
        ("layers = 2", "layers = 0", "line 7: steps.base: layers: input should be greater than"),
        ("layers = 2", 'layers = "x"', "line 7: steps.base: layers: input should be a valid int"),
        ('kind = "quantize"', 'kind = "quantise"', "did you mean 'quantize'?"),
        ('kind = "quantize"', 'type = "quantize"', "steps.packed: a step needs a kind"),
        ('model = "@base"', 'model = "@bas"', "line 12: steps.packed: model names the step 'bas'"),
        ('model = "@base"', 'model = "openai:x"', "it has to be a model on this machine"),
        ('model = "@base"', "", "steps.packed: it needs a model; name one at the top"),
        ('model = "@base"', 'model = "@packed"', "the steps go in a circle: packed -> packed"),
        ('model = "@base"', 'model = "nowhere"', "line 12: steps.packed: There is no model"),
        ('dataset = "data"', 'dataset = "date"', "line 6: steps.base: dataset is 'date', and"),
        ('dataset = "data"', 'dataset = "@packed"', "@packed makes a model."),
        ("seed = 4", 'seed = "four"', "seed is to be a whole number"),
        ("seed = 4", "seeds = 4", "line 2: there is no 'seeds' here; did you mean 'seed'?"),
        ('name = "small"', 'name = "../up"', "will not do"),
        ("[steps.base]", "[steps.base", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(folder: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(TrainingError) as found:
        graph(folder, RECIPE.replace(old, new))

    assert said in str(found.value)
    assert "recipe.toml" in str(found.value) or old in ("seed = 4", 'name = "small"')


def test_a_circle_of_two_steps_is_named(folder: Path) -> None:
    text = RECIPE.replace('dataset = "data"', 'dataset = "data"\ntokenizer = "@packed"')

    with pytest.raises(TrainingError, match="base -> packed -> base"):
        graph(folder, text)


def test_the_command_line_sets_values_as_toml_has_them() -> None:
    assert setting("tune.rank=16") == ("tune.rank", 16)
    assert setting("tune.keys=['a', 'b']") == ("tune.keys", ["a", "b"])
    assert setting("model=organisation/name") == ("model", "organisation/name")
    with pytest.raises(TrainingError, match="write KEY=VALUE"):
        setting("tune.rank")


def test_a_value_for_what_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(TrainingError, match=r"'train.rank' is nothing .* base.OPTION"):
        graph(folder, RECIPE, **{"train.rank": 3})


def test_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="There is no recipe nothing; name a TOML file"):
        read_recipe("nothing")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe4'")
    with pytest.raises(TrainingError, match="is not UTF-8"):
        read_recipe(str(tmp_path / "latin.toml"))
