"""The study of distillation compares students that differ in nothing but what they are taught."""

from pathlib import Path
from typing import Any

import pytest

from punie.evaluation.charts import can_draw
from punie.training.pipeline.graph import FromStep, Graph, recipe_graph
from punie.training.pipeline.pipeline import whole_model
from punie.training.pipeline.recipe import Recipe
from punie.training.studies.distillation import DISTILLATION, DistillationOptions


def graph(options: DistillationOptions) -> Graph:
    recipe = Recipe(
        name="study", folder=Path.cwd(), text="", file="study", steps=DISTILLATION.steps(options)
    )
    return recipe_graph(recipe, whole_model)


def test_students_differ_in_data_and_teacher_alone() -> None:
    nodes = graph(DistillationOptions(teacher="", seeds=(7,))).nodes
    ways = {way: nodes[f"{way}-7"] for way in ("data", "logits", "trajectories", "both")}
    plain = ways["data"].options
    for way, node in ways.items():
        assert node.options.model_copy(update={"teaching": plain.teaching}) == plain
        assert node.inputs["tokenizer"] == (FromStep("teacher"),)
        more = way in ("trajectories", "both")
        assert node.inputs["dataset"] == (FromStep("more" if more else "examples"),)
        taught = way in ("logits", "both")
        assert bool(node.inputs.get("teacher")) == taught
    tasks = {nodes[f"{way}-7-tasks"].options for way in ways} | {nodes["teacher-tasks"].options}
    assert len(tasks) == 1
    # The teacher is larger than the bundled model, and that is larger than the student.
    assert 5e6 < nodes["teacher"].options.shape.parameter_count < 6e6
    assert plain.shape.parameter_count < 2e6


def test_a_given_teacher_is_not_trained() -> None:
    nodes = graph(DistillationOptions.model_validate(DISTILLATION.small)).nodes
    assert "teacher" not in nodes
    assert "logits-1" in nodes
    assert len([name for name in nodes if name.endswith("-tasks")]) == 5


def test_the_page_tells_what_was_found() -> None:
    def score(hits: int) -> dict[str, Any]:
        rates = ("right_tool_or_rightly_none", "exact_arguments", "all_tasks_solved")
        shares = {name: {"hits": hits, "of": 40} for name in rates}
        return {**shares, "valid_loss": 0.5, "valid_turns": 0.25}

    hits = {"data": 10, "logits": 20, "trajectories": 15, "both": 30}
    change = {
        "both": 10, "gained": 9, "lost": 1, "neither": 20, "difference": 0.2, "low": 0.05,
        "high": 0.35, "p": 0.02,
    }  # fmt: skip
    found = {
        "study": "distillation",
        "options": DistillationOptions(seeds=(1, 2)).model_dump(mode="json"),
        "teacher": {name: part for name, part in score(38).items() if "valid" not in name},
        "ways": {way: [score(count), score(count + 2)] for way, count in hits.items()},
        "changes": {way: change for way in hits if way != "data"},
        "trajectories": 1900,
    }
    page = DISTILLATION.page(found)
    assert "| examples and the teacher's logits | 52.5% (" in page
    assert "+20.0% (+5.0% to +35.0%) | 9 | 1 | 0.02" in page
    assert "solved 1,900 of the 6,000 tasks" in page
    if not can_draw():
        pytest.skip("matplotlib is not installed")
    assert "<svg" in DISTILLATION.charts(found)["distillation.svg"]
