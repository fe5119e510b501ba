"""Scoring of the bundled model: what counts as right."""

from collections.abc import Mapping

from punie.agent.events import TextDelta, ToolStarted, TurnEvent
from punie.evaluation.tiny import Outcome, judge, summarise
from punie.tools.presentation import Presentation
from punie.training.generator.answers import Call, Teacher
from punie.training.generator.generate import Transcript
from punie.training.generator.scenarios import Task

READ = Call("read_file", {"path": "a.py"})


def _task(steps: int = 1) -> Task:
    def teacher() -> Teacher:
        yield READ
        return "done"

    return Task("read", "read a.py", teacher, steps)


def _call(tool: str, arguments: Mapping[str, object]) -> ToolStarted:
    picture = Presentation(title="x", kind="read")
    return ToolStarted(
        call_id="1", message_id="m", tool=tool, arguments=dict(arguments), presentation=picture
    )


def _say(text: str) -> TextDelta:
    return TextDelta(message_id="n", text=text)


def _judge(
    events: list[TurnEvent], files: dict[str, bytes] | None = None, due: Call | None = READ
) -> Outcome:
    teacher = Transcript([], [due] if due else [], "done")
    return judge(_task(), "read a.py", teacher, {}, events, files or {})


def test_a_call_and_answer_like_the_teachers_are_right() -> None:
    arguments = {"path": "a.py", "start_line": None}
    outcome = _judge([_call("read_file", arguments), _say("do"), _say("ne")])
    assert (outcome.tool, outcome.arguments, outcome.solved) == (True, True, True)


def test_wrong_arguments_tool_answer_or_files_each_count() -> None:
    wrong_path = _judge([_call("read_file", {"path": "b.py"}), _say("done")])
    assert (wrong_path.tool, wrong_path.arguments) == (True, False)
    wrong_tool = _judge([_call("list_dir", {"path": "a.py"}), _say("done")])
    assert (wrong_tool.tool, wrong_tool.arguments) == (False, False)
    assert not _judge([_call("read_file", {"path": "a.py"}), _say("gone")]).solved
    assert not _judge([_call("read_file", {"path": "a.py"}), _say("done")], {"x": b""}).solved


def test_no_call_is_right_only_where_none_was_due() -> None:
    assert not _judge([_say("done")]).tool
    rightly_none = _judge([_say("done")], due=None)
    assert (rightly_none.tool, rightly_none.arguments, rightly_none.solved) == (True, None, True)


def test_rates_rest_on_the_tasks_they_speak_of() -> None:
    right = Outcome("read", 2, "p", True, True, True, "", "")
    wrong = Outcome("chat", 1, "p", False, None, False, "", "")
    scores = summarise([right, wrong])
    assert scores["exact_arguments"] == {"rate": 1.0, "of": 1}
    assert scores["two_step_tasks_solved"] == {"rate": 1.0, "of": 1}
    assert scores["all_tasks_solved"] == {"rate": 0.5, "of": 2}
    assert scores["solved_by_kind"]["chat"] == {"rate": 0.0, "of": 1}
