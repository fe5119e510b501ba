"""Tasks for real models that are answered without a tool: from knowledge, from what was attached,
and from the conversation itself.
"""

import tomllib
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

from punie.training.generator.answers import WELCOME, Teacher, code, joined
from punie.training.generator.packages import Package
from punie.training.generator.phrasing import dress
from punie.training.generator.tasks import Family, Task, TaskMaker

_FILE = Path(__file__).with_name("concepts.toml")
_ANSWERS = {
    "greeting": "Hello! What shall I do in this project?",
    "thanks": WELCOME,
    "who": (
        "I am Punie, a coding agent that runs on your machine. I can read, search and change the "
        "files of this project, run commands and tests, and ask before I do."
    ),
    "outside": (
        "That is outside of what I can do: I work on the files of this project, with the tools of "
        "your IDE and without the network."
    ),
}


def _answered(kind: str, prompt: str, answer: str) -> Task:
    def teacher() -> Teacher:
        yield from ()
        return answer

    return Task(kind, prompt, teacher, says=(answer,))


def _talk(maker: TaskMaker, *, kind: str) -> Task:
    opened = kind not in ("greeting", "thanks")
    prompt = maker.say(kind, opened=opened, word=maker.names.word())
    return _answered("talk", prompt, _ANSWERS[kind])


@cache
def _concepts() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def concept(maker: TaskMaker) -> Task:
    """Answer a question about Python."""
    questions = _concepts()[maker.part]
    question = maker.rng.choice(sorted(questions))
    return _answered("concept", dress(maker.rng, f"{question}?"), questions[question])


def _attached(path: str, text: str, lines: str) -> str:
    """Return lines as an IDE attaches them."""
    first = text[: text.index(lines)].count("\n") + 1
    count = lines.count("\n")
    place = f"{path} lines {first}-{first + count - 1}"
    return f"\n\nAttached: {place}\n```\n{lines}```"


def attached(maker: TaskMaker) -> Task | None:
    """Work out what an attached function returns."""
    if not isinstance(maker.project, Package):
        return None
    function = maker.rng.choice(maker.project.typed)
    text = maker.project.files[function.path]
    prompt = maker.say("attached", call=function.call)
    answer = f"`{function.call}` returns `{function.result}`."
    return _answered("attached", prompt + _attached(function.path, text, function.text), answer)


def attached_purpose(maker: TaskMaker) -> Task | None:
    """Say what an attached function does."""
    if not isinstance(maker.project, Package):
        return None
    function = maker.rng.choice(maker.project.typed)
    text = maker.project.files[function.path]
    prompt = maker.say("attached_purpose")
    answer = f"`{function.name}`: {function.does}."
    return _answered("attached", prompt + _attached(function.path, text, function.text), answer)


def attached_value(maker: TaskMaker) -> Task | None:
    """Read a constant off attached lines."""
    if not maker.project.constants:
        return None
    constant = maker.rng.choice(maker.project.constants)
    text = maker.project.files[constant.path]
    prompt = maker.say("attached_value", name=constant.name)
    shown = _attached(constant.path, text, constant.line + "\n")
    return _answered("attached", prompt + shown, f"`{constant.name}` is {constant.value}.")


def recall(maker: TaskMaker) -> Task | None:
    """Say which tools the turn before was done with."""
    if not maker.past:
        return None
    used = list(dict.fromkeys(call.tool for call in maker.past[-1].calls))
    answer = f"I used {joined(list(map(code, used)))}." if used else "I used no tool for that."
    return _answered("recall", maker.say("recall"), answer)


def repeat(maker: TaskMaker) -> Task | None:
    """Say the last answer again."""
    if not maker.past:
        return None
    return _answered("repeat", maker.say("repeat"), maker.past[-1].answer)


FAMILIES: dict[str, Family] = {
    "greet": partial(_talk, kind="greeting"),
    "thank": partial(_talk, kind="thanks"),
    "who": partial(_talk, kind="who"),
    "outside": partial(_talk, kind="outside"),
    "concept": concept,
    "attached": attached,
    "attached_purpose": attached_purpose,
    "attached_value": attached_value,
    "recall": recall,
    "repeat": repeat,
}
