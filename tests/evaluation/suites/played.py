"""Items that are really done: a script's calls, by the real agent with the real tools."""

from collections.abc import Sequence
from pathlib import Path

from punie.evaluation.session import work_on
from punie.evaluation.suite import Item, Verdict
from punie.evaluation.work import Work
from punie.models.scripted import Script, ScriptedCall, ScriptedModel, ScriptedResponse
from punie.training.data.example import Function


async def played(item: Item, folder: Path, *says: Function | str) -> tuple[Work, Verdict]:
    """Let a script do an item, a call or an answer at a time, and judge that."""
    root = folder / "project"
    root.mkdir()
    item.prepare(root)
    model = ScriptedModel(Script(responses=tuple(map(_response, says))))
    done = await work_on(item, model, root)
    return done, await item.judge(done, root)


def _response(say: Function | str) -> ScriptedResponse:
    if isinstance(say, str):
        return ScriptedResponse(text=say, chunks=1)
    return ScriptedResponse(calls=(ScriptedCall(tool=say.name, arguments=say.arguments),))


def in_words(facts: Sequence[str | Sequence[str]]) -> str:
    """An answer that states facts."""
    return "Done: " + ", ".join(f if isinstance(f, str) else f[0] for f in facts)
