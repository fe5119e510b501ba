"""BFCL's questions: how they are asked, and what answers of a model are worth."""

from pathlib import Path
from typing import Any

import pytest

from punie.evaluation.errors import EvaluationError
from punie.evaluation.results import Result
from punie.evaluation.run_options import RunOptions
from punie.evaluation.runner import run_suites
from punie.evaluation.suite import Check, Say
from punie.evaluation.suites.external.bfcl import Bfcl
from punie.evaluation.suites.external.opening import open_suite
from punie.models.scripted import Script, ScriptedCall, ScriptedModel, ScriptedResponse
from punie.tools.parameters import parameters_schema
from tests.evaluation.suites.external.checkouts import function, question, write_bfcl, write_files

pytestmark = pytest.mark.anyio

RIGHT, WRONG = Check.of(True), Check.of(False)
TRAM = function(
    "tram.fare",
    {"zones": {"type": "integer", "description": "How many."}, "share": {"type": "float"}},
    "zones",
)
TAXI = function("taxi_fare", {"km": {"type": "float"}}, "km")


def trams(checkout: Path) -> Path:
    data = checkout / "berkeley-function-call-leaderboard" / "bfcl_eval" / "data"
    asked = [question(f"simple_python_{each}", f"Fare for {each} zones?", TRAM) for each in (1, 2)]
    due = [
        {"id": f"simple_python_{each}", "ground_truth": [{"tram.fare": {"zones": [each]}}]}
        for each in (1, 2)
    ]
    write_bfcl(data, "simple_python", asked, due)
    both = question("parallel_multiple_0", "Tram for 2 zones or taxi for 3 km?", TRAM, TAXI)
    fares: list[Any] = [
        {"taxi_fare": {"km": [3.0]}},
        {"tram.fare": {"zones": [2], "share": ["", 0.5]}},
    ]
    due = [{"id": "parallel_multiple_0", "ground_truth": fares}]
    write_bfcl(data, "parallel_multiple", [both], due)
    write_bfcl(data, "irrelevance", [question("irrelevance_0", "Who was Ada?", TRAM)])
    write_bfcl(data, "live_relevance", [question("live_relevance_0", "Is it far?", TRAM, TAXI)])
    write_bfcl(data, "memory", [{"id": "memory_0"}])
    return data


def call(tool: str, **arguments: Any) -> ScriptedCall:
    return ScriptedCall(tool=tool, arguments=arguments)


async def answered(checkout: Path, items: str, *calls: ScriptedCall) -> list[Result]:
    answer = ScriptedResponse(text="" if calls else "No.", calls=calls)
    model = ScriptedModel(Script(responses=(answer,), repeat=True))
    suite = open_suite("bfcl", checkout)
    return await run_suites(model, [suite], RunOptions(items=(items,), parallel=1))


async def solved(checkout: Path, item: str, *calls: ScriptedCall) -> dict[str, Check]:
    (result,) = await answered(checkout, item, *calls)
    assert (result.requests, result.trouble) == (1, "")
    return dict(result.verdict.checks)


async def test_functions_are_offered_as_tools(tmp_path: Path) -> None:
    trams(tmp_path)
    item = await Bfcl(tmp_path).item("simple_python_1", tmp_path)
    assert item.kind == "simple_python"
    assert item.actions == (Say("Fare for 1 zones?"),)
    assert item.tools is not None
    (tool,) = item.tools
    assert tool.name == "tram_fare"
    assert tool.description == "Does tram.fare. (a function in Python 3)"
    assert parameters_schema(tool) == {
        "type": "object",
        "properties": {
            "zones": {"type": "integer", "description": "How many."},
            "share": {"type": "number"},
        },
        "required": ["zones"],
    }


async def test_answers_get_what_they_deserve(tmp_path: Path) -> None:
    trams(tmp_path)
    right = call("tram_fare", zones=2)
    for item, calls, due in (
        ("simple_python_2", [right], [RIGHT, RIGHT, RIGHT]),
        ("simple_python_2", [call("tram_fare", zones=5)], [WRONG, RIGHT, WRONG]),
        ("simple_python_2", [call("taxi_fare", zones=2)], [WRONG, WRONG]),
        ("simple_python_2", [right, right], [WRONG, WRONG]),
        ("simple_python_2", [], [WRONG, WRONG]),
        ("parallel_multiple_0", [right, call("taxi_fare", km=3)], [RIGHT, RIGHT, RIGHT]),
        ("parallel_multiple_0", [right], [WRONG, WRONG]),
        ("irrelevance_0", [], [RIGHT, RIGHT]),
        ("irrelevance_0", [right], [WRONG, WRONG]),
        ("live_relevance_0", [call("taxi_fare", km=99)], [RIGHT, RIGHT]),
        ("live_relevance_0", [], [WRONG, WRONG]),
    ):
        checks = await solved(tmp_path, item, *calls)
        assert list(checks) == ["solved", "tool", "arguments"][: len(due)]
        assert list(checks.values()) == due, (item, calls)


async def test_broken_lines_are_named_and_the_others_are_asked(tmp_path: Path) -> None:
    data = tmp_path / "data"
    odd = {**question("simple_4", "Odd?", TRAM), "function": [{"name": "odd"}]}
    asked = [question("simple_0", "Fare for 2 zones?", TRAM), '{"id": "simple_1", "que', odd]
    asked += [question("simple_2", "No answer?", TRAM), question("simple_3", "Bad one?", TRAM)]
    due = [{"id": each, "ground_truth": [{"tram.fare": {"zones": [2]}}]} for each in ("simple_0",)]
    due += [{"id": "simple_4", "ground_truth": [{"odd": {}}]}]
    write_bfcl(data, "simple", asked, [*due, {"id": "simple_3", "ground_truth": []}])
    results = await answered(tmp_path, "*", call("tram_fare", zones=2))
    assert {each.item: each.solved.strict for each in results} == {
        "simple_0": True,
        "simple/line-2": False,
        "simple_4": False,
        "simple_2": False,
        "simple_3": False,
    }
    said = {each.item: each.trouble for each in results}
    assert "BFCL_v4_simple.json, line 2: not a question (Invalid JSON" in said["simple/line-2"]
    assert "line 4: no possible answer for simple_2 (there is none)" in said["simple_2"]
    assert "possible_answer/BFCL_v4_simple.json, line 3: " in said["simple_3"]
    assert "simple_4: The description of the function 'odd' is broken" in said["simple_4"]


def test_the_newest_version_of_the_files_counts(tmp_path: Path) -> None:
    write_bfcl(tmp_path, "irrelevance", [question("irrelevance_0", "Who?", TRAM)])
    write_files(tmp_path, {"BFCL_v3_live_relevance.json": "{}\n"})
    before = Bfcl(tmp_path).version
    assert list(Bfcl(tmp_path).names()) == ["irrelevance_0"]
    write_bfcl(tmp_path, "irrelevance", [question("irrelevance_0", "Where?", TRAM)])
    assert Bfcl(tmp_path).version != before


def test_a_wrong_checkout_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="is not a checkout for the suite bfcl: it has no BF"):
        open_suite("bfcl", tmp_path)
    write_bfcl(tmp_path, "memory", [])
    write_bfcl(tmp_path, "web_search", [])
    with pytest.raises(EvaluationError, match=r"that are scored, only memory, web_search\."):
        open_suite("bfcl", tmp_path)


def test_categories_that_are_left_out_are_named_with_the_reason(tmp_path: Path) -> None:
    write_bfcl(tmp_path, "irrelevance", [question("irrelevance_0", "Who?", TRAM)])
    assert Bfcl(tmp_path).left_out == ""
    for category in ("multi_turn_base", "multi_turn_composite", "memory", "web_search", "dancing"):
        write_bfcl(tmp_path, category, [])
    assert Bfcl(tmp_path).left_out == (
        "Left out are dancing (they are not known); memory (memory is kept by other programs of "
        "BFCL, which are not run here); multi_turn_composite (BFCL itself no longer scores them); "
        "web_search (pages of the web are asked for, and nothing here uses the network)."
    )


async def test_java_is_written_in_strings(tmp_path: Path) -> None:
    java = function("Trams.fare", {"zones": {"type": "ArrayList", "items": {"type": "integer"}}})
    said = question("simple_java_0", "Fares for 1 and 2 zones?", java)
    said["question"][0].insert(0, {"role": "system", "content": "You run trams."})
    due = {"id": "simple_java_0", "ground_truth": [{"Trams.fare": {"zones": [[1, 2]]}}]}
    write_bfcl(tmp_path, "simple_java", [said], [due])
    item = await Bfcl(tmp_path).item("simple_java_0", tmp_path)
    assert item.actions == (Say("You run trams.\n\nFares for 1 and 2 zones?"),)
    assert item.tools is not None
    zones = parameters_schema(item.tools[0])["properties"]["zones"]
    assert zones["type"] == "string"
    assert "its type is ArrayList. Its elements are of type integer." in zones["description"]
    written = call("Trams_fare", zones="new ArrayList<>(Arrays.asList(1, 2))")
    assert (await solved(tmp_path, "*", written))["solved"] == RIGHT
    assert (await solved(tmp_path, "*", call("Trams_fare", zones=[1, 2])))["solved"] == WRONG
