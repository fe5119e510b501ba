"""The items of a report: each folded, failures first, with what was due and what was done."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from punie.evaluation.report.figures import figure, seconds
from punie.evaluation.report.markup import Content, Html, element, joined
from punie.evaluation.results import RESULTS, Result
from punie.tools.wording import count
from punie.training.data.example import Message

State = Literal["trouble", "failed", "soft", "solved"]
STATES: Mapping[State, str] = {
    "trouble": "trouble",
    "failed": "not solved",
    "soft": "softly solved",
    "solved": "solved",
}
"""The states of items as they are named, in the order in which they are listed."""

Past = Literal["gained", "lost", ""]
"""Whether the baseline did not solve what this run did, or the other way round."""

_TEXT_HEAD, _TEXT_TAIL = 1_200, 400
_FIRST_MESSAGES, _LAST_MESSAGES = 14, 6
_CONVERSATIONS = 2_000_000
"""Characters of all conversations of a page together; failures come first."""


@dataclass(frozen=True)
class Listed:
    """A result, the line of the file that it stands in, and whether the baseline differs."""

    result: Result
    line: int
    past: Past = ""

    @property
    def state(self) -> State:
        """How it came out."""
        solved = self.result.solved
        if self.result.trouble:
            return "trouble"
        return "solved" if solved.strict else "soft" if solved.soft else "failed"


def item_list(listed: Iterable[Listed]) -> Html:
    """Return all items, the worst first; what is cut says where the whole is."""
    order = list(STATES)
    ranked = sorted(listed, key=lambda each: (order.index(each.state), each.line))
    left = _CONVERSATIONS
    found = []
    for each in ranked:
        conversation = _conversation(each.result.messages) if left > 0 else None
        left -= len(conversation.text) if conversation else 0
        found.append(_item(each, conversation))
    return element("div", *found, id="items")


def _item(listed: Listed, conversation: Html | None) -> Html:
    result = listed.result
    facts = [result.kind]
    if result.seed is not None:
        facts.append(f"seed {result.seed}")
    if result.attempt:
        facts.append(f"try {result.attempt + 1}")
    facts += [count(len(result.calls), "call"), seconds(result.seconds)]
    note = result.trouble or result.verdict.note
    head: list[Content] = [
        element("span", STATES[listed.state], class_=f"state {listed.state}"),
        " ",
        element("span", f"{result.suite}/{result.item}", class_="name"),
        " ",
        element("span", " · ".join(facts), class_="facts"),
    ]
    if listed.past:
        head += [" ", element("span", listed.past, class_=f"past {listed.past}")]
    if note:
        head.append(element("span", note, class_="note"))
    inside = [
        _checks(result),
        _due(result.verdict.due),
        conversation
        if conversation is not None
        else element("p", "The conversation is left out to keep this page small.", class_="hint"),
        element("p", f"Line {listed.line} of {RESULTS} holds all of it.", class_="hint"),
    ]
    return element(
        "details",
        element("summary", *head),
        element("div", *inside, class_="inside"),
        class_="item",
        data_suite=result.suite,
        data_kind=result.kind,
        data_outcome=listed.state,
        data_change=listed.past or None,
    )


def _checks(result: Result) -> Html:
    pairs: list[tuple[str, str]] = [
        (name, "yes" if check.strict else "softly" if check.soft else "no")
        for name, check in sorted(result.verdict.checks.items())
    ]
    pairs += [(name, figure(value)) for name, value in sorted(result.verdict.measures.items())]
    if result.stop != "end_turn":
        pairs.append(("ended by", result.stop.replace("_", " ")))
    if result.malformed:
        pairs.append(("unreadable calls", str(result.malformed)))
    if result.not_run:
        pairs.append(("calls that did not run", str(result.not_run)))
    if result.cut:
        pairs.append(("answer", "cut: it repeated itself"))
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", value)) for name, value in pairs),
    )


def _due(due: Any) -> Html:
    if due is None:
        return Html("")
    text = due if isinstance(due, str) else json.dumps(due, indent=1, ensure_ascii=False)
    return joined([element("h3", "Due"), element("pre", _cut(text))])


def _conversation(messages: Sequence[Message]) -> Html:
    shown: list[Content] = [element("h3", "Done")]
    most = _FIRST_MESSAGES + _LAST_MESSAGES
    left_out = len(messages) - most
    for number, message in enumerate(messages):
        if left_out <= 0 or number < _FIRST_MESSAGES or number >= len(messages) - _LAST_MESSAGES:
            shown.append(_message(message))
        elif number == _FIRST_MESSAGES:
            shown.append(element("p", f"{count(left_out, 'message')} left out.", class_="hint"))
    return joined(shown)


def _message(message: Message) -> Html:
    parts: list[Content] = [element("h4", message.role)]
    if message.reasoning_content:
        thought = element("pre", _cut(message.reasoning_content))
        parts.append(element("details", element("summary", "thought"), thought, class_="thought"))
    if message.content.strip() or not (message.tool_calls or message.reasoning_content):
        parts.append(element("pre", _cut(message.content) or "(nothing)"))
    for call in message.tool_calls:
        arguments = json.dumps(call.function.arguments, ensure_ascii=False)
        name = element("b", call.function.name)
        parts.append(element("pre", name, " ", _cut(arguments), class_="call"))
    return element("div", *parts, class_=f"message {message.role}")


def _cut(text: str) -> str:
    """Return a text, or its beginning and end if it is long."""
    left_out = len(text) - _TEXT_HEAD - _TEXT_TAIL
    if left_out <= 0:
        return text
    return f"{text[:_TEXT_HEAD]}\n… {left_out:,} characters left out …\n{text[-_TEXT_TAIL:]}"
