"""Feeding a parser the same output in every cut, and checking what its events promise."""

import json
from collections.abc import Callable, Iterable, Sequence

from punie.models.mlx.chat.parser import (
    AnswerText,
    CallArguments,
    CallStarted,
    MalformedCall,
    ParserEvent,
    ResponseParser,
    ThoughtText,
    ToolCall,
)
from punie.models.mlx.chat.values import same
from punie.models.mlx.chat.vocabulary import Piece

Outcome = AnswerText | ThoughtText | ToolCall | MalformedCall


def outcome(events: Iterable[ParserEvent]) -> list[Outcome]:
    """Return what a reader is left with: joined text, and calls whose pieces were right."""
    found: list[Outcome] = []
    started: str | None = None
    told: list[str] = []
    for event in events:
        last = found[-1] if found else None
        match event:
            case CallStarted():
                assert started is None, "a call began inside a call"
                started = event.name
            case CallArguments():
                assert started is not None, "arguments without a call"
                assert event.json
                told.append(event.json)
            case ToolCall():
                assert started == event.name
                assert same(json.loads("".join(told)), event.arguments), (told, event)
                found.append(event)
                started, told = None, []
            case MalformedCall():
                assert started in (None, event.name)
                assert event.reason.endswith(".")
                found.append(event)
                started, told = None, []
            case AnswerText(text=text) if isinstance(last, AnswerText):
                assert text
                found[-1] = AnswerText(last.text + text)
            case ThoughtText(text=text) if isinstance(last, ThoughtText):
                assert text
                found[-1] = ThoughtText(last.text + text)
            case AnswerText() | ThoughtText():
                assert started is None, "text inside a call"
                found.append(event)
    assert started is None, "a call that never ended"
    return found


def parse(parser: ResponseParser, pieces: Iterable[Sequence[Piece]]) -> list[Outcome]:
    """Feed the pieces one after another."""
    events: list[ParserEvent] = []
    for piece in pieces:
        events += parser.feed(piece)
    return outcome([*events, *parser.finish()])


def parse_in_every_cut(
    make: Callable[[], ResponseParser], output: Sequence[Piece], most: int = 60
) -> list[Outcome]:
    """Parse the output whole, piece by piece and cut in two at (at most so many) borders.

    A string is cut between its characters, other output between its pieces.
    """
    whole = parse(make(), [output])
    singly = parse(make(), [output[i : i + 1] for i in range(len(output))])
    assert singly == whole
    step = max(1, len(output) // most)
    for cut in range(1, len(output), step):
        assert parse(make(), [output[:cut], output[cut:]]) == whole, cut
    return whole
