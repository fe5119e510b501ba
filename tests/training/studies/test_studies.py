import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from punie.evaluation.results import RESULTS as RESULT_LINES
from punie.evaluation.results import Result, result_line
from punie.evaluation.suite import Check, Verdict
from punie.training.pipeline.graph import recipe_graph
from punie.training.pipeline.pipeline import open_store, whole_model
from punie.training.pipeline.recipe import Recipe
from punie.training.pipeline.runs import ask_to_stop, read_run
from punie.training.pipeline.store import Record
from punie.training.progress import Interrupted, Progress
from punie.training.studies.catalog import STUDIES
from punie.training.studies.study import Finished, Study, run_study, write_results
from tests.training.sample_conversations import write_data

RESULTS = Path(__file__).parents[3] / "docs" / "results"


@pytest.fixture(params=sorted(STUDIES))
def study(request: pytest.FixtureRequest) -> Study:
    return STUDIES[request.param]


def graph_of(study: Study, options: Any) -> Mapping[str, Any]:
    recipe = Recipe(
        name="study", folder=Path(), text="", file=study.name, steps=study.steps(options)
    )
    return recipe_graph(recipe, whole_model).nodes


@pytest.mark.parametrize("small", [True, False])
def test_all_steps_are_steps_of_pipelines(study: Study, small: bool) -> None:
    options = study.options.model_validate(study.small if small else {})
    nodes = graph_of(study, options)
    assert any(node.step.kind == "evaluate" for node in nodes.values())
    for node in nodes.values():
        # The generator knows the families of tasks that are asked for.
        if node.step.kind == "generate":
            assert node.options.mix()
        if node.step.kind == "evaluate":
            assert node.options.weights()


def finished(name: str, folder: Path, right: bool) -> Finished:
    """An evaluation of four tasks, of which all but the first are right, or none.

    It is a dataset and a trained model too, for studies that look at those.
    """
    out = write_data(folder / name, 3, 1)
    measured = {"step": 2, "valid_loss": 0.5, "valid_exact": 0.75}
    (out / "curve.jsonl").write_text(json.dumps(measured) + "\n")
    save_file({"weight": np.zeros((2, 3), np.float32)}, out / "model.safetensors")
    results = []
    for number in range(4):
        check = Check(strict=right and number > 0, soft=False)
        verdict = Verdict(checks={"solved": check, "tool": check, "arguments": check})
        results.append(
            Result(
                suite="generated", item=str(number), kind="move", verdict=verdict, stop="end_turn"
            )
        )
    (out / RESULT_LINES).write_text("".join(map(result_line, results)))
    record = Record(
        kind="evaluate", version=1, options={}, inputs={}, name=name, artifact="report", output="x",
        started=0, ended=1, seconds=1, attempts=1, memory=1, bytes=1_500_000, punie="0",
    )  # fmt: skip
    return Finished(out, record)


def test_page_and_pictures_are_made_of_what_was_found(study: Study, tmp_path: Path) -> None:
    options = study.options.model_validate(study.small)
    steps = study.steps(options)
    done = {
        name: finished(name, tmp_path, right="before" not in name and "base" not in name)
        for name in steps
    }
    collected = study.collect(options, done)
    found = {"study": study.name, "options": options.model_dump(mode="json"), **collected}
    assert json.loads(json.dumps(found)) == found
    out = tmp_path / "results"
    out.mkdir()
    page = write_results(study, found, out)
    text = page.read_text()
    assert "75.0%" in text
    assert f"punie study {study.name}" in text
    for picture in study.charts(found):
        assert f"]({picture})" in text
        assert (out / picture).read_text().startswith("<?xml")


def test_a_study_is_stopped_as_a_pipeline_is(tmp_path: Path) -> None:
    study, store = STUDIES["new-tool"], open_store(None, str(tmp_path))
    options = study.options.model_validate(study.small)
    told: list[Progress] = []

    def stop_it(progress: Progress) -> None:
        told.append(progress)
        ask_to_stop(store, "study-new-tool")

    with pytest.raises(Interrupted):
        run_study(study, options, store, stop_it)
    assert told
    states = [step.state for step in read_run(store, "study-new-tool").steps]
    assert "done" not in states[1:]


def test_published_pages_are_those_of_the_published_data(study: Study) -> None:
    data = RESULTS / f"{study.name}.json"
    if not data.exists():
        pytest.skip("not published")
    found = json.loads(data.read_text(encoding="utf-8"))
    assert (RESULTS / f"{study.name}.md").read_text(encoding="utf-8") == study.page(found)


def test_formats_differ_in_the_template_alone() -> None:
    nodes = graph_of(STUDIES["formats"], STUDIES["formats"].options())
    assert nodes["data-xml-1"].options == nodes["data-json-1"].options
    assert nodes["adapter-xml-1"].options == nodes["adapter-json-1"].options
    assert nodes["base-xml"].options.calls == "xml"
    assert nodes["base-json"].options.calls == "json"


def test_lessons_differ_in_the_share_of_direct_answers_alone() -> None:
    nodes = graph_of(STUDIES["discrimination"], STUDIES["discrimination"].options())
    none, half = nodes["data-0-1"].options, nodes["data-0.5-1"].options
    assert (none.direct, half.direct) == (0, 0.5)
    assert none.model_copy(update={"direct": 0.5}) == half
    assert nodes["adapter-0-1"].options == nodes["adapter-0.5-1"].options
    assert nodes["adapter-0-1"].inputs["model"] == nodes["taught-0-1"].inputs["model"]
