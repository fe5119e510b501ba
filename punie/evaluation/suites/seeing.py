"""What a model has seen through its calls: an answer that it did not look up earns nothing."""

import re
from collections.abc import Collection, Iterable, Sequence

from punie.evaluation.facts import Fact, stated
from punie.evaluation.work import Executed, Work
from punie.tools.catalog import ALL_TOOLS

RUN_CODE = "run_code"
_SHOW = frozenset(
    {tool.name for tool in ALL_TOOLS if tool.effect in ("read", "execute")} | {RUN_CODE, "lint"}
) - {"update_plan", "ask_user", "explore"}
"""Tools whose results show what is in the project; those of edits show what the model wrote.

What `explore` answers is words of a model; the calls that it made for that count themselves.
"""
_ECHO = frozenset({RUN_CODE, "run_command", "command_output"})
"""Tools that can say what they were told, so that only what they were not told counts as seen."""


def looked(work: Work) -> bool:
    """Tell whether any call ran that shows something of the project."""
    return any(True for _ in showing(work))


def showing(work: Work) -> Iterable[Executed]:
    """Yield the calls that ran and whose results show something of the project."""
    return filter(shows, work.executed)


def shows(executed: Executed) -> bool:
    """Tell whether a call ran whose result shows something of the project."""
    return executed.ran and executed.call.name in _SHOW


def seen(work: Work, names: Collection[str]) -> frozenset[str]:
    """Return which of some names stand whole in the result of a call that shows the project."""
    found: set[str] = set()
    for executed in showing(work):
        own = told(executed)
        for name in names:
            if is_in(name, executed.result) and not is_in(name, own):
                found.add(name)
    return frozenset(found)


def shown(work: Work, facts: Sequence[Fact]) -> bool:
    """Tell whether every fact stands in the result of a call that came to a good end."""
    results = [
        (executed.result, told(executed)) for executed in showing(work) if not executed.failed
    ]
    return all(
        any(stated(result, fact).soft and not stated(own, fact).soft for result, own in results)
        for fact in facts
    )


def is_in(name: str, text: str) -> bool:
    """Tell whether a name, number or phrase stands in a text, and not only within a longer one."""
    return (
        re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)(?!\.\d)", text) is not None
        if name[:1].isdigit()
        else re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None
    )


def texts_in(value: object) -> Iterable[str]:
    """Yield every text within the arguments of a call."""
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from texts_in(each)
        case list() | tuple():
            for each in value:
                yield from texts_in(each)
        case _:
            pass


def told(executed: Executed) -> str:
    """Return what a call could have said without a look at the project.

    That is what it was told, and what its command says in an empty folder too.
    """
    if executed.call.name not in _ECHO:
        return ""
    return "\n".join([*texts_in(executed.call.arguments), executed.anywhere])
