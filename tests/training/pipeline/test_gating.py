from pathlib import Path

import pytest

from punie.training.errors import TrainingError
from punie.training.pipeline.gating import results, with_gates
from punie.training.pipeline.graph import Graph, recipe_graph
from punie.training.pipeline.pipeline import whole_model
from punie.training.pipeline.recipe import read_recipe
from punie.training.pipeline.runner import read_report
from punie.training.pipeline.runs import read_run, run_names
from punie.training.pipeline.store import Store
from tests.training.pipeline.conftest import RECIPE, run_bare, write_sound

TAUGHT = """
[steps.tuned]
kind = "quantize"
model = "punie-tiny"
dataset = "data"
"""
EASY = """
[gates.data]
most_of_one_tool = 1
most_leaks = 100

[gates.conversion]
agreement = 0
divergence = 100
perplexity_ratio = 100
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sound(tmp_path / "data")
    return tmp_path


def gated(folder: Path, text: str) -> Graph:
    (folder / "recipe.toml").write_text(text)
    recipe = read_recipe(str(folder / "recipe.toml"))
    return with_gates(recipe, recipe_graph(recipe, whole_model), serving=False)


def test_every_step_waits_for_the_gates_of_what_it_uses(folder: Path) -> None:
    graph = gated(folder, RECIPE + TAUGHT)
    names = list(graph.nodes)

    assert set(names) - {"base", "packed", "tuned"} == {
        "gate-data:data",
        "gate-zero:base",
        "gate-zero:punie-tiny",
        "gate-conversion:packed",
        "gate-conversion:tuned",
    }
    assert graph.nodes["base"].after == ("gate-data:data",)
    assert graph.nodes["packed"].after == ("gate-zero:base",)
    assert graph.nodes["tuned"].after == ("gate-zero:punie-tiny",)
    for node in graph.nodes.values():
        assert all(names.index(needed) < names.index(node.name) for needed in node.needed)
    assert results(graph) == ["packed", "tuned"]


def test_the_conversion_gate_compares_on_what_the_base_has_learned(folder: Path) -> None:
    graph = gated(folder, RECIPE)
    gate, base = graph.nodes["gate-conversion:packed"], graph.nodes["base"]

    assert gate.inputs["dataset"] == base.inputs["dataset"]
    with pytest.raises(TrainingError, match=r"steps.tuned: its gate compares .* name a dataset"):
        gated(folder, TAUGHT.replace('dataset = "data"\n', ""))


def test_limits_are_the_recipe_s_and_a_gate_cannot_be_left_out(folder: Path) -> None:
    graph = gated(folder, RECIPE + EASY + '[gates."conversion:packed"]\nagreement = 0.5\n')

    assert graph.nodes["gate-data:data"].options.most_leaks == 100
    assert graph.nodes["gate-conversion:packed"].options.agreement == 0.5
    with pytest.raises(TrainingError, match=r"gates.datas: there is no 'datas' here; did you mean"):
        gated(folder, RECIPE + "[gates.datas]\n")
    with pytest.raises(TrainingError, match=r"line 24: gates.data: there is no 'least' here"):
        gated(folder, RECIPE + "\n[gates.data]\nleast = 1\n")
    with pytest.raises(TrainingError, match=r"gates.data is to be a table"):
        gated(folder, "[gates]\ndata = false\n" + RECIPE.partition("\n")[2])


def test_what_a_gate_does_not_let_pass_goes_no_further(folder: Path) -> None:
    with pytest.raises(TrainingError) as refused:
        run_bare(folder, gated(folder, RECIPE))
    store = Store(folder / "store")
    run = read_run(store, run_names(store)[0])

    assert str(refused.value).startswith("gate-data:data: gate data did not let it pass (")
    report = read_report(store, run.step("gate-data:data").key or "")
    assert not report.passed
    assert run.step("gate-data:data").state == "refused"
    assert run.step("base").key is None
    assert len(store.all_keys()) == 1

    # With limits that allow it, only what was not done is done; the verdicts are kept.
    passed = run_bare(folder, gated(folder, RECIPE + EASY))
    assert {step.state for step in passed.steps} == {"done"}
    made = store.output(passed.step("packed").key or "", "model")
    assert (made / "gate-conversion.json").is_file()
