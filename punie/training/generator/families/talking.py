"""Tasks that are answered without a tool: small talk, who it is, and what is beyond it."""

from functools import partial

from punie.training.generator.answers import ABOUT, BEYOND_ME, GREETING, WELCOME, Teacher
from punie.training.generator.tasks import Family, Task, TaskMaker

_ANSWERS = {"greeting": GREETING, "thanks": WELCOME, "identity": ABOUT, "beyond": BEYOND_ME}


def _chat(maker: TaskMaker, *, kind: str) -> Task:
    answer = _ANSWERS[kind]
    prompt = maker.say(
        kind,
        opened=kind not in ("greeting", "thanks"),
        word=maker.names.word(),
        word2=maker.names.word(),
    )

    def teacher() -> Teacher:
        yield from ()
        return answer

    return Task("chat", prompt, teacher, says=(answer,))


FAMILIES: dict[str, Family] = {kind: partial(_chat, kind=kind) for kind in _ANSWERS}
