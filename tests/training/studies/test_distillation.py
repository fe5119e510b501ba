"""The study of distillation compares students that differ in nothing but what they are taught."""

from pathlib import Path
from typing import Any

import pytest

from punie.evaluation.charts import can_draw
from punie.training.pipeline.graph import FromStep, Graph, recipe_graph
from punie.training.pipeline.pipeline import whole_model
from punie.training.pipeline.recipe import Recipe, read_recipe
from punie.training.studies.distillation import DISTILLATION, DistillationOptions


def graph(options: DistillationOptions) -> Graph:
    recipe = Recipe(
        name="study", folder=Path.cwd(), text="", file="study", steps=DISTILLATION.steps(options)
    )
    return recipe_graph(recipe, whole_model)


def test_students_differ_in_data_and_teacher_alone() -> None:
    nodes = graph(DistillationOptions(seeds=(7,))).nodes
    ways = {way: nodes[f"{way}-7"] for way in ("data", "logits", "trajectories", "both")}
    plain = ways["data"].options.model_dump()
    for way, node in ways.items():
        options = node.options.model_dump(exclude={"teaching", "draft"})
        assert options == plain
        assert options["kind"] == "full"
        taught = way in ("logits", "both")
        assert node.step.kind == ("distill" if taught else "tune")
        assert bool(node.inputs.get("teacher")) == taught
        assert node.inputs["student" if taught else "model"] == (FromStep("student"),)
        more = way in ("trajectories", "both")
        assert node.inputs["dataset"] == (FromStep("more" if more else "examples"),)
    tasks = {node.options for name, node in nodes.items() if name.endswith("-tasks")}
    assert len(tasks) == 1
    assert nodes["student"].options.shape.parameter_count < 2e6


def test_the_student_comes_from_the_data_of_the_bundled_model() -> None:
    """So both cut text into the same tokens, and the data are made once."""
    recipe = recipe_graph(read_recipe("tiny"), whole_model).nodes
    nodes = graph(DistillationOptions()).nodes
    assert nodes["data"].decisive == recipe["data"].decisive
    assert nodes["student"].options.vocab == recipe["model"].options.vocab
    seeds = [nodes[name].options.seed for name in ("data", "examples", "solved")]
    assert len(set(seeds)) == 3


def test_the_page_tells_what_was_found() -> None:
    def score(hits: int) -> dict[str, Any]:
        rates = ("right_tool_or_rightly_none", "exact_arguments", "all_tasks_solved")
        shares = {name: {"hits": hits, "of": 40} for name in rates}
        return {**shares, "valid_loss": 0.5, "valid_exact": 0.25}

    hits = {"data": 10, "logits": 20, "trajectories": 15, "both": 30}
    change = {
        "both": 10, "gained": 9, "lost": 1, "neither": 20, "difference": 0.2, "low": 0.05,
        "high": 0.35, "p": 0.02,
    }  # fmt: skip
    alone = ("valid_loss", "valid_exact")
    found = {
        "study": "distillation",
        "options": DistillationOptions(seeds=(1, 2)).model_dump(mode="json"),
        "teacher": {name: part for name, part in score(38).items() if name not in alone},
        "before": {name: part for name, part in score(4).items() if name not in alone},
        "ways": {way: [score(count), score(count + 2)] for way, count in hits.items()},
        "changes": {way: change for way in hits if way != "data"},
        "trajectories": 1900,
    }
    page = DISTILLATION.page(found)
    assert "| examples and the teacher's logits | 52.5% (" in page
    assert "+20.0% (+5.0% to +35.0%) | 9 | 1 | 0.02" in page
    assert "| (the student before) | 10.0% (" in page
    assert "solved 1,900 of the 1,000 tasks" in page
    if not can_draw():
        pytest.skip("matplotlib is not installed")
    assert "<svg" in DISTILLATION.charts(found)["distillation.svg"]
