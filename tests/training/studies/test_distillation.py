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
    nodes = graph(DistillationOptions(seeds=(7,), temperatures=(1, 0.5))).nodes
    names = ("data", "trajectories", "logits-t1", "logits-t0_5", "both-t1", "both-t0_5")
    plain = nodes["data-7"].options.model_dump()
    for name in names:
        node = nodes[f"{name}-7"]
        way, _, temperature = name.partition("-t")
        options = node.options.model_dump(exclude={"teaching", "draft"})
        assert options == plain
        assert options["kind"] == "full"
        taught = way in ("logits", "both")
        assert node.step.kind == ("distill" if taught else "tune")
        assert bool(node.inputs.get("teacher")) == taught
        assert node.inputs["student" if taught else "model"] == (FromStep("student"),)
        if taught:
            softened = node.options.teaching.temperature
            assert softened == float(temperature.replace("_", "."))
        more = way in ("trajectories", "both")
        assert node.inputs["dataset"] == (FromStep("more" if more else "examples"),)
    for which in ("new", "old"):
        tasks = {node.options for name, node in nodes.items() if name.endswith(f"-{which}")}
        assert len(tasks) == 1
    assert nodes["student"].options.shape.parameter_count < 2e6


def test_the_student_has_seen_neither_the_tool_nor_what_it_is_taught_with() -> None:
    recipe = recipe_graph(read_recipe("tiny"), whole_model).nodes
    nodes = graph(DistillationOptions()).nodes
    assert nodes["data"].decisive == recipe["data"].decisive
    assert nodes["student"].inputs["tokenizer"] == nodes["adapter-teacher"].inputs["model"]
    assert "move" not in nodes["data"].options.mix().tool_weights
    taught = [nodes[name].options for name in ("data-teacher", "examples", "solved")]
    assert all("move" in options.mix().tool_weights for options in taught)
    assert len({options.seed for options in (*taught, nodes["data"].options)}) == 3


def test_the_page_tells_what_was_found() -> None:
    def score(hits: int) -> dict[str, Any]:
        rates = ("right_tool_or_rightly_none", "exact_arguments", "all_tasks_solved")
        new = {name: {"hits": hits, "of": 40} for name in rates}
        old = {name: {"hits": 30, "of": 40} for name in rates}
        return {"new": new, "old": old}

    validated = {"valid_loss": 0.5, "valid_exact": 0.25}
    hits = {"data": 10, "logits-t2": 20, "trajectories": 15, "both-t2": 30}
    change = {
        "both": 10, "gained": 9, "lost": 1, "neither": 20, "difference": 0.2, "low": 0.05,
        "high": 0.35, "p": 0.02,
    }  # fmt: skip
    found = {
        "study": "distillation",
        "options": DistillationOptions(seeds=(1, 2), temperatures=(2,)).model_dump(mode="json"),
        "teacher": score(38),
        "before": score(4),
        "ways": {
            way: [{**score(each), **validated} for each in (count, count + 2)]
            for way, count in hits.items()
        },
        "changes": {
            "logits-t2": {"data": change},
            "trajectories": {"data": change},
            "both-t2": {"data": change, "trajectories": change},
        },
        "trajectories": 1900,
        "parameters": {"student": 1_700_000, "teacher": 6_800_000},
    }
    page = DISTILLATION.page(found)
    row = next(line for line in page.split("\n") if "examples and logits, T = 2" in line)
    assert row.split(" | ")[3:6] == [
        "52.5% (41.7% to 63.1%)",
        "50.0%, 55.0%",
        "75.0% (64.5% to 83.2%)",
    ]
    solved_too = "examples and what the teacher solved"
    change_cells = "+20.0% (+5.0% to +35.0%) | 9 | 1 | 0.02"
    assert f"| both and logits, T = 2 | {solved_too} | {change_cells}" in page
    assert page.count(change_cells) == 4
    assert "| (the student before) | 10.0% (" in page
    assert "1,000 tasks that came without answers the teacher solved 1,900" in page
    if not can_draw():
        pytest.skip("matplotlib is not installed")
    assert "<svg" in DISTILLATION.charts(found)["distillation.svg"]
