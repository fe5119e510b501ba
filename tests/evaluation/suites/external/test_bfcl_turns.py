"""BFCL's questions of several turns: whose functions run, and what a model's calls are worth."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from punie.evaluation.run_options import RunOptions
from punie.evaluation.runner import run_suites
from punie.evaluation.session import Conditions, work_on
from punie.evaluation.suite import Check, Item, Say, Suite
from punie.evaluation.suites.external.bfcl_conversations import Conversation, read_conversations
from punie.evaluation.suites.external.bfcl_simulated import start_simulation
from punie.evaluation.suites.external.bfcl_turns import Talk, played, verdict_of
from punie.evaluation.suites.external.opening import open_suite
from punie.evaluation.work import Work
from punie.models.scripted import ScriptedCall, ScriptedResponse
from punie.tools.base import ReadLedger, ToolContext, ToolError
from punie.tools.mcp.arguments import JsonArguments
from punie.training.data.example import Function
from punie.workspace.local import LocalWorkspace
from punie.workspace.processes import live_groups
from punie.workspace.sandbox.detect import NoSandbox, find_sandbox
from tests.evaluation.planted.agents import (
    Habit,
    Planted,
    Situation,
    Turn,
    calls,
    claims_success,
    never_calls,
    oracle,
    says,
    wrong_arguments,
)
from tests.evaluation.planted.solutions import call
from tests.evaluation.planted.stage import results_of
from tests.evaluation.suites.external.bfcl_depot import (
    OFFER,
    SOURCES,
    STEPS,
    talk,
    write_depot,
    write_talks,
)
from tests.evaluation.suites.external.checkouts import write_files

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(isinstance(find_sandbox(), NoSandbox), reason="there is no sandbox here"),
]

NOTHING = Work(messages=(), files={}, stop="end_turn")
RIGHT, WRONG = Check.of(True), Check.of(False)
IN_THE_END = Check(strict=False, soft=True)
MOVES = call("move", tram=3, source="south")
COUNTS = call("count", track="north")
FARE = call("fare", zones=4)
BASE, FUNC, PARAM, LONG = (
    f"multi_turn_{each}_0" for each in ("base", "miss_func", "miss_param", "long_context")
)


@pytest.fixture
def depot(tmp_path: Path) -> Path:
    """Return a checkout with a question of each category."""
    data = write_depot(tmp_path)
    move, count = "move(3, 'south', target='north')", "count(track='north')"
    write_talks(data, [talk(BASE, "Tram 3 to the north.", "How many?")], [[move], [count]])
    held = talk(FUNC, "How many are north?", "Tram 3, too.", "", missed_function={"2": ["move"]})
    write_talks(data, [held], [[count], [], [move]])
    asks = talk(PARAM, "Move a tram.", "Number 3.", "And a ride of 4 zones?")
    write_talks(data, [asks], [[], [move], ["fare(4)"]])
    write_talks(data, [talk(LONG, "Tram 3 to the north.", "How many?")], [[move], [count]])
    return tmp_path


def solution(suite: Suite, item: Item) -> Sequence[Turn]:
    moves, counts = Turn([MOVES], "Done."), Turn([COUNTS], "That many.")
    nothing = Turn([], "Which one?")
    return {
        BASE: [moves, counts],
        FUNC: [counts, nothing, moves],
        PARAM: [nothing, moves, Turn([FARE], "6")],
        LONG: [moves, counts],
    }[item.name]


def conversation(depot: Path, name: str) -> Conversation:
    category = name.removesuffix("_0")
    file = depot / "bfcl_eval" / "data" / f"BFCL_v4_{category}.json"
    found = read_conversations({category: file})[name]
    assert isinstance(found, Conversation)
    return found


async def test_who_does_what_is_due_has_full_marks(depot: Path) -> None:
    offered: list[set[str]] = []

    def watched(now: Situation) -> ScriptedResponse:
        if len(now.known.turns) == 3 and not now.results:
            offered.append({"move", "fare"} & set(now.tools))
        return oracle(now)

    suite = open_suite("bfcl", depot)
    assert suite.names() == (BASE, LONG, FUNC, PARAM)
    results = await results_of(suite, suite.names(), watched, solution)
    for each in results:
        assert set(each.verdict.checks) == {"solved", "state", "responses", "calls", "steps"}
        assert set(each.verdict.checks.values()) == {RIGHT}, each.item
        assert each.verdict.measures["turns_right"] == 1
        assert each.verdict.note == ""
    said = {each.item: [(m.role, m.content) for m in each.messages] for each in results}
    assert ("user", OFFER) in said[FUNC]
    assert ("tool", '{"trams": 3}') in said[BASE]
    assert ("tool", '{"trams": 6}') in said[LONG]
    assert ("tool", "6") in said[PARAM]
    both = {"move", "fare"}
    assert offered == [{"fare"}, {"fare"}, both, both, both, both]
    assert results[2].verdict.measures["turns_waited"] == 1


@pytest.mark.parametrize("habit", [never_calls, claims_success, wrong_arguments])
async def test_who_only_says_so_has_none(depot: Path, habit: Habit) -> None:
    suite = open_suite("bfcl", depot)
    (result,) = await results_of(suite, [BASE], habit, solution)
    assert result.solved == WRONG
    failed = {name for name, check in result.verdict.checks.items() if not check.soft}
    calls_too = set() if habit is wrong_arguments else {"calls"}
    assert failed == {"solved", "state", "responses"} | calls_too


CASES: list[tuple[str, list[list[ScriptedCall]], Check, set[str], str]] = [
    # As many trams, but not the same ones.
    (BASE, [[call("move", tram=1, source="north", target="south")], [COUNTS]], WRONG,
     {"state", "responses"}, "Turn 1: the state differs: TramDepot.tracks."),
    (BASE, [[MOVES], []], WRONG, {"responses", "calls"}, "Turn 2: no function was called."),
    (BASE, [[MOVES], [call("count", track="west")]], WRONG, {"responses"},
     'Turn 2: this due result was not had: {"trams": 3}.'),
    # Done before it was asked for; the leaderboard wants a call in every turn.
    (BASE, [[MOVES, COUNTS], []], IN_THE_END, {"calls"}, "Turn 2: no function was called."),
    (BASE, [[MOVES, COUNTS], [FARE]], RIGHT, set(), ""),
    (BASE, [[COUNTS], [MOVES, COUNTS]], IN_THE_END, {"state", "responses"},
     "Turn 1: the state differs: TramDepot.tracks."),
    # What is called where nothing is due counts by what it changes.
    (PARAM, [[COUNTS], [MOVES], [FARE]], RIGHT, set(), ""),
    (PARAM, [[MOVES], [COUNTS], [FARE]], RIGHT, set(), ""),
    (PARAM, [[call("move", tram=1, source="north")], [MOVES], [FARE]], WRONG, {"state"},
     "Turn 2: the state differs: TramDepot.tracks."),
]  # fmt: skip


async def test_what_calls_do_counts(depot: Path) -> None:
    simulated = await start_simulation(conversation(depot, BASE).simulation, sys.executable)
    try:
        for name, turns, solved, wrong, note in CASES:
            asked = conversation(depot, name)
            made = [[Function(name=c.tool, arguments=c.arguments) for c in turn] for turn in turns]
            verdict = verdict_of(asked, made, await played(asked, made, simulated))
            failed = {each for each, check in verdict.checks.items() if not check.strict}
            assert failed - {"solved"} == wrong, turns
            assert (verdict.checks["solved"], verdict.note) == (solved, note), turns
    finally:
        await simulated.aclose()


def counts_for_ever_from(turn: int) -> Habit:
    def habit(now: Situation) -> ScriptedResponse:
        if len(now.prompts) == turn:
            # Never twice the same in a row, which would end the turn earlier.
            return calls("count", track=("north", "south", "west")[len(now.results) % 3])
        return oracle(now)

    habit.__name__ = "counts_for_ever"
    return habit


async def test_a_turn_that_takes_too_many_steps_ends_all_but_the_last(depot: Path) -> None:
    suite = open_suite("bfcl", depot)
    (first,) = await results_of(suite, [BASE], counts_for_ever_from(1), solution)
    assert first.requests == STEPS + 1
    assert (first.solved, first.verdict.checks["steps"]) == (WRONG, WRONG)
    assert first.verdict.checks["calls"] == RIGHT
    (held,) = await results_of(suite, [FUNC], counts_for_ever_from(2), solution)
    assert held.requests == 2 + STEPS + 1
    assert held.verdict.note == f"Turn 2 was cut off: more than {STEPS} answers in it held calls."
    # In the last turn BFCL's scorer looks at what was done until then.
    (last,) = await results_of(suite, [BASE], counts_for_ever_from(2), solution)
    assert (last.stop, last.solved) == ("max_turn_requests", RIGHT)


async def test_a_call_that_ends_the_programs_is_told_and_fails(depot: Path) -> None:
    turns = [Turn([call("derail"), MOVES], "Done."), Turn([COUNTS], "Done.")]
    (result,) = await results_of(open_suite("bfcl", depot), [BASE], oracle, lambda *_: turns)
    told = [message.content for message in result.messages if message.role == "tool"]
    ended = "The process of the functions ended during derail."
    assert told[0].startswith(f"error: no function can be called any more: {ended}")
    assert told[2].startswith(f"error: no function can be called any more: {ended}")
    assert result.solved == WRONG
    assert result.verdict.note == f"Turn 1: {ended}"
    assert result.verdict.checks["state"] == WRONG


async def ran(conversation_turn: Say, tool: str, root: Path, **arguments: Any) -> str:
    (made,) = [each for each in conversation_turn.tools or () if each.name == tool]
    context = ToolContext(LocalWorkspace([root]), ReadLedger())
    return (await made.run(context, JsonArguments(**arguments))).text


async def test_a_call_that_does_not_return_is_ended(depot: Path) -> None:
    before = live_groups()
    hangs = Talk(conversation(depot, BASE), sys.executable, seconds=2)
    try:
        assert await ran(hangs.said(0), "count", depot, track="south") == '{"trams": 1}'
        with pytest.raises(ToolError, match=r"wait did not return within 2 seconds\."):
            await ran(hangs.said(0), "wait", depot)
        with pytest.raises(ToolError, match="no function can be called any more: wait did not"):
            await ran(hangs.said(0), "count", depot, track="south")
    finally:
        await hangs.close()
    verdict = await hangs.judge(NOTHING, depot)
    assert verdict.checks["solved"] == WRONG
    assert verdict.note == "Turn 1: wait did not return within 2 seconds."
    assert live_groups() == before


async def test_no_process_outlives_its_item(depot: Path) -> None:
    before = live_groups()
    root = depot / "project"
    root.mkdir()
    item = await open_suite("bfcl", depot).item(BASE, depot)
    waits = Planted(lambda now: calls("wait"))
    done = await work_on(item, waits, root, Conditions(seconds=2))
    assert done.trouble == "It was not done after 2 seconds."
    assert [each.call.name for each in done.executed] == ["wait"]
    assert live_groups() == before


async def said_of(checkout: Path) -> dict[str, str]:
    """Return what is said of each question, to which nobody answers anything."""
    model = Planted(lambda now: says("No."))
    results = await run_suites(model, [open_suite("bfcl", checkout)], RunOptions(parallel=1))
    assert not any(each.solved.soft for each in results)
    return {each.item: each.trouble for each in results}


async def test_what_cannot_be_asked_is_told(depot: Path) -> None:
    data = depot / "bfcl_eval" / "data"
    for category in ("miss_func", "miss_param", "long_context"):
        (data / f"BFCL_v4_multi_turn_{category}.json").unlink()
    sources = depot / "bfcl_eval" / SOURCES
    write_files(sources, {"wired.py": "import no_such_module\n\n\nclass Wired:\n    pass\n"})
    write_files(sources, {"torn.py": "class Torn:\n    def __init__(self):\n        1 / 0\n"})
    write_files(data, {"multi_turn_func_doc/wired.json": "", "multi_turn_func_doc/torn.json": ""})
    names = [f"multi_turn_base_{number}" for number in range(4)]
    classes = (["Wired"], ["Torn"], ["Missing"], ["TramDepot"])
    pairs = zip(names, classes, strict=True)
    talks = [talk(name, "Go.", involved_classes=each) for name, each in pairs]
    write_talks(data, talks, [["fare(1)"]], [["fare(1)"]], [["fare(1)"]], [["fare(1)"], []])
    assert await said_of(depot) == {
        names[0]: "Functions of BFCL's programs need the Python module no_such_module, which "
        "neither Punie's Python nor python3 has; install it for python3.",
        names[1]: "Torn cannot be loaded (ZeroDivisionError: division by zero).",
        names[2]: "multi_turn_base_2: the checkout defines no class Missing.",
        names[3]: "multi_turn_base_3: it has 1 turns, and its answer 2.",
    }
    version = open_suite("bfcl", depot).version
    (sources / "torn.py").write_text("class Torn:\n    pass\n")
    assert open_suite("bfcl", depot).version != version
    settings = depot / "bfcl_eval" / "constants" / "default_prompts.py"
    settings.write_text("X = 1\n")
    assert (await said_of(depot))[names[3]].endswith("prompts.py has no MAXIMUM_STEP_LIMIT.")
    settings.unlink()
    assert "default_prompts.py is missing; name a whole ch" in (await said_of(depot))[names[3]]
