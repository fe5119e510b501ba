from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.training.errors import TrainingError
from punie.training.pipeline.pipeline import Order, run_pipeline, whole_model
from punie.training.pipeline.plan import plan_lines, plan_recipe
from punie.training.pipeline.recipe import Recipe, read_recipe
from punie.training.pipeline.runs import read_run
from punie.training.pipeline.search import Range, Search, SearchOptions, combinations, read_search
from punie.training.pipeline.step import Figure
from punie.training.pipeline.store import Store
from tests.training.pipeline.conftest import write_sound

STEPS = """
name = "parts"

[steps.fewer]
kind = "filter"
dataset = "data"
least_messages = 0

[steps.parts]
kind = "split"
dataset = "@fewer"
shares = { train = 0.8, valid = 0.2 }
near = 1.0
most_leaks = 100

[steps.other]
kind = "filter"
dataset = "data"
least_characters = 2
"""
SEARCH = """
[search]
by = "parts.train"

[search.values]
"fewer.least_messages" = [0, 4, 99]
"seed" = [1, 2]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sound(tmp_path / "data")
    return tmp_path


def recipe(folder: Path, search: str = SEARCH) -> Recipe:
    (folder / "recipe.toml").write_text(STEPS + search)
    return read_recipe(str(folder / "recipe.toml"))


def found(folder: Path, search: str = SEARCH) -> Search:
    result = read_search(recipe(folder, search), whole_model)
    assert result is not None
    return result


def test_steps_that_a_choice_does_not_change_are_there_once(folder: Path) -> None:
    search = found(folder)

    assert [tuple(choice.values.values()) for choice in search.choices] == [
        (0, 1), (0, 2), (4, 1), (4, 2), (99, 1), (99, 2),
    ]  # fmt: skip
    assert sorted(search.graph.nodes) == sorted(
        ["other", "fewer#1", "fewer#3", "fewer#5", *(f"parts#{n}" for n in range(1, 7))]
    )
    fourth = search.choices[3].names
    assert dict(fourth) == {"fewer": "fewer#3", "parts": "parts#4", "other": "other"}
    assert search.graph.nodes["parts#4"].needed == ["fewer#3"]


def test_all_is_run_and_the_best_is_named(folder: Path) -> None:
    store = Store(folder / "store")

    run = run_pipeline(recipe(folder), store, Order("recipe.toml"))

    assert run.state == "done"
    ended = {step.name: step.state for step in run.steps}
    assert {ended[f"parts#{number}"] for number in (1, 2, 3, 4)} == {"done"}
    assert (ended["fewer#5"], ended["parts#5"], ended["parts#6"]) == (
        "failed",
        "skipped",
        "skipped",
    )
    assert [row.get("best") for row in run.searched] == [True, None, None, None, None, None]
    assert run.searched[0]["parts.train"].endswith(" examples")
    assert run.searched[5]["parts.train"] == run.step("fewer#5").sentence != ""
    assert len([record for _, record in store.records()]) == 7

    lines = plan_lines(plan_recipe(recipe(folder), store))
    assert "search: 6 choices, the best goes through the serving gate" in lines
    assert "  #4 fewer.least_messages = 4, seed = 2" in lines


def test_the_best_gets_no_name_if_a_gate_of_its_own_stopped_it(folder: Path) -> None:
    look = '\n[steps.look]\nkind = "gate-data"\ndataset = "@parts"\nleast_examples = 1000\n'
    one = SEARCH.replace("[0, 4, 99]", "[4]").replace("[1, 2]", "[1]")
    store = Store(folder / "store")

    with pytest.raises(TrainingError, match="look: gate data did not let it pass"):
        run_pipeline(recipe(folder, look + one), store, Order("recipe.toml"))

    run = read_run(store, "parts")
    assert (run.state, run.results) == ("failed", {})


def test_lowest_and_ties(folder: Path) -> None:
    figures = {number: Figure(value=value) for number, value in enumerate((2.0, 1.0, 1.0, 2.0))}

    assert found(folder).best(figures) == 0
    assert found(folder, SEARCH.replace("by =", 'goal = "lowest"\nby =')).best(figures) == 1
    assert found(folder).best({}) is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"parts.train"', '"part.train"', r"line 22: search: by names the step 'part'"),
        ('"parts.train"', '"train"', r"line 22: search: by: string should match"),
        ("by =", "buy =", "there is no 'buy' here|by: field required"),
        ("[1, 2]", "[]", r"search.values: seed has no values"),
        ("[1, 2]", "{ low = 1, high = 2 }", r"seed has a range, and a grid needs a list"),
        ("[0, 4, 99]", "[0, -4]", r"With fewer.least_messages = -4, seed = 1: .*least_messages:"),
        ('"seed"', '"sed"', r"With .*: 'sed' is nothing"),
        ("[1, 2]", str(list(range(400))), "that makes 1,200 combinations, and 1,000 are the most"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    folder: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(TrainingError, match=said):
        found(folder, SEARCH.replace(old, new))


def test_a_figure_that_is_not_there(folder: Path) -> None:
    wrong = recipe(
        folder, SEARCH.replace('"parts.train"', '"parts.score"').replace("[0, 4, 99]", "[4]")
    )
    with pytest.raises(TrainingError, match="no figure 'score' to search by; it has train, valid"):
        run_pipeline(wrong, Store(folder / "store"), Order("recipe.toml"))


@given(
    low=st.floats(1e-6, 1e3), factor=st.floats(1, 1e4), seed=st.integers(0, 99), log=st.booleans()
)
def test_what_is_drawn_lies_in_its_range_and_is_the_same_again(
    low: float, factor: float, seed: int, log: bool
) -> None:
    scale: Any = "log" if log else "linear"
    values = {"a.rate": Range(low=low, high=low * factor, scale=scale), "a.rank": [4, 8]}
    options = SearchOptions(method="random", count=5, seed=seed, by="a.x", values=values)
    empty = Recipe("r", Path(), "", "r.toml")

    drawn = combinations(empty, options)

    assert drawn == combinations(empty, options)
    assert len(drawn) == 5
    for one in drawn:
        assert low * (1 - 1e-9) <= one["a.rate"] <= low * factor * (1 + 1e-9)
        assert one["a.rank"] in (4, 8)
