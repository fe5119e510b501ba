"""Reading the events of a run that may end anywhere."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from punie.tools.python.pytest_report import counted, read_report

_ids = st.sampled_from(["a.py::test_a", "b.py::test_ä[x\ny]", "c.py"])
_events = st.one_of(
    st.fixed_dictionaries({"event": st.just("running"), "id": _ids}),
    st.fixed_dictionaries(
        {
            "event": st.just("test"),
            "id": _ids,
            "phase": st.sampled_from(["setup", "call", "teardown", "???"]),
            "outcome": st.sampled_from(["passed", "failed", "skipped", "xfailed", "xpassed"]),
            "seconds": st.floats(0, 100),
        }
    ),
    st.fixed_dictionaries(
        {"event": st.just("collecting"), "id": _ids, "message": st.text(max_size=40)}
    ),
)


@st.composite
def _runs(draw: st.DrawFn) -> list[dict[str, Any]]:
    start = {"event": "start", "executable": "/python", "pytest": "8.0"}
    end = {"event": "end", "status": draw(st.integers(0, 5))}
    return [start, *draw(st.lists(_events, max_size=12)), end]


@given(_runs())
def test_every_event_counts(events: list[dict[str, Any]]) -> None:
    report = read_report("\n".join(map(json.dumps, events)) + "\n")
    said = [each for each in events if each["event"] in ("test", "collecting")]
    bad = [each for each in said if each["event"] == "collecting" or each["outcome"] == "failed"]
    assert sum(report.counts.values()) == len(said)
    assert [failure.id for failure in report.failures] == [each["id"] for each in bad]
    assert report.status == events[-1]["status"]
    assert counted(report.counts).count(",") == max(0, len(report.counts) - 1)


@given(_runs(), st.data())
def test_every_beginning_is_a_report(events: list[dict[str, Any]], data: st.DataObject) -> None:
    whole = "\n".join(map(json.dumps, events)) + "\n"
    at = data.draw(st.integers(0, len(whole)))
    first, then = read_report(whole[:at]), read_report(whole)
    assert first.counts <= then.counts
    assert first.failures == then.failures[: len(first.failures)]
    assert set(first.running) <= {each["id"] for each in events if each["event"] == "running"}


@given(_runs(), st.text())
def test_what_is_no_event_is_left_out(events: list[dict[str, Any]], junk: str) -> None:
    lines = list(map(json.dumps, events))
    plain = junk.replace("\n", " ")
    mixed = [text for line in lines for text in (line, plain, "[]", '{"event": "test"}')]
    assert read_report("\n".join(mixed)) == read_report("\n".join(lines))


def test_a_test_that_began_and_did_not_end_is_running() -> None:
    events = [
        {"event": "running", "id": "a"},
        {"event": "test", "id": "a", "phase": "call", "outcome": "passed", "seconds": 2.5},
        {"event": "running", "id": "b"},
    ]
    report = read_report("\n".join(map(json.dumps, events)))
    assert report.running == ("b",)
    assert report.slowest == ("a", 2.5)
    assert report.status is None
