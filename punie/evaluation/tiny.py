"""Scores of the bundled model, by letting it work: real agent, real tools, real files.

Run as `python -m punie.evaluation.tiny`. Every task is solved twice on the same generated project:
once by its teacher and once by the model through the agent's own turn. Names and projects are
held out from training; `--wording unseen` takes phrases that training never used as well.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import anyio
from pydantic_ai.models import Model
from rich.progress import track

from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    PermissionAsked,
    PromptText,
    TextDelta,
    ToolStarted,
    TurnEvent,
    UserMessage,
)
from punie.agent.journal import PastTurns
from punie.agent.turn import run_turn
from punie.agent.turn_config import TurnConfig
from punie.evaluation.card import write_card
from punie.models.blas import prefer_fast_blas
from punie.models.catalog import resolve_model
from punie.models.load import close_models, open_model
from punie.tools.base import ReadLedger, ToolContext
from punie.tools.catalog import ALL_TOOLS
from punie.training.generator.generate import LIMITS, Transcript, add_context, follow_teacher
from punie.training.generator.names import Names
from punie.training.generator.projects import make_project
from punie.training.generator.scenarios import Task, TaskMaker, make_task
from punie.workspace.local import LocalWorkspace

Wording = Literal["known", "unseen"]
TASKS_PER_PROJECT = 4
_SEED = 90_210


@dataclass(frozen=True)
class Outcome:
    """How the model did on one task.

    `tool`: the first call names the right tool, or rightly there is none. `arguments`: every
    argument of that call is exact (None where no call was due). `solved`: the files afterwards and
    the final answer are what the teacher left and said.
    """

    kind: str
    steps: int
    prompt: str
    tool: bool
    arguments: bool | None
    solved: bool
    expected: str
    got: str


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and ".pytest_cache" not in path.parts
    }


async def _let_model_work(model: Model, root: Path, prompt: str) -> list[TurnEvent]:
    events: list[TurnEvent] = []

    async def emit(event: TurnEvent) -> None:
        events.append(event)

    async def ask(question: PermissionAsked) -> str | None:
        return question.choices[0].id

    workspace = LocalWorkspace([root])
    config = TurnConfig(
        model=model,
        workspace=workspace,
        reads=ReadLedger(),
        tools=ALL_TOOLS,
        mode=lambda: "auto",
        limits=LIMITS,
        max_requests=6,
        max_tokens=400,
        temperature=0.0,
    )
    message = UserMessage(message_id="m", blocks=(PromptText(text=prompt),), text=prompt)
    await run_turn(config, message, PastTurns(), emit=emit, ask=ask, cancel=CancelSignal())
    await workspace.aclose()
    return events


def judge(
    task: Task,
    prompt: str,
    teacher: Transcript,
    wanted: dict[str, bytes],
    events: Sequence[TurnEvent],
    files: dict[str, bytes],
) -> Outcome:
    """Compare what the model did with what the teacher did."""
    calls = [event for event in events if isinstance(event, ToolStarted)]
    last_call = max((i for i, e in enumerate(events) if isinstance(e, ToolStarted)), default=-1)
    answer = "".join(e.text for e in events[last_call + 1 :] if isinstance(e, TextDelta)).strip()
    first: dict[str, Any] | None = None
    if calls:
        first = {"tool": calls[0].tool, "arguments": calls[0].arguments}
    due = asdict(teacher.calls[0]) if teacher.calls else None
    tool = (first and first["tool"]) == (due and due["tool"])
    arguments = None if due is None else first is not None and _same(first, due)
    solved = files == wanted and answer == teacher.answer
    expected = json.dumps([asdict(call) for call in teacher.calls] + [teacher.answer])
    got = json.dumps([{"tool": c.tool, "arguments": c.arguments} for c in calls] + [answer])
    return Outcome(
        task.kind, task.steps, prompt, tool, arguments, solved, expected=expected, got=got
    )


def _same(first: dict[str, Any], due: dict[str, Any]) -> bool:
    given = {key: value for key, value in first["arguments"].items() if value is not None}
    return bool(first["tool"] == due["tool"] and given == due["arguments"])


async def evaluate(model: Model, count: int, *, wording: Wording, seed: int) -> list[Outcome]:
    """Let the model solve `count` held-out tasks; a fixed seed gives the same tasks."""
    rng = Random(seed)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        project = make_project(rng, held_out=True)
        for number in track(range(count), f"{wording} wording"):
            if number % TASKS_PER_PROJECT == 0:
                project = make_project(rng, held_out=True)
            maker = TaskMaker(rng, Names(rng, held_out=True), project, wording == "unseen")
            task = make_task(maker)
            prompt = add_context(rng, task.prompt, project)
            project.write(root)
            workspace = LocalWorkspace([root])
            context = ToolContext(workspace, ReadLedger(), LIMITS, check_edits=False)
            teacher = await follow_teacher(task, context)
            await workspace.aclose()
            wanted = _files(root)
            project.write(root)
            events = await _let_model_work(model, root, prompt)
            outcomes.append(judge(task, prompt, teacher, wanted, events, _files(root)))
    return outcomes


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Turn outcomes into rates between 0 and 1, with the counts they rest on."""

    def rate(values: Sequence[bool]) -> dict[str, float | int]:
        return {"rate": round(sum(values) / max(1, len(values)), 4), "of": len(values)}

    kinds = Counter(outcome.kind for outcome in outcomes)
    return {
        "right_tool_or_rightly_none": rate([o.tool for o in outcomes]),
        "exact_arguments": rate([o.arguments for o in outcomes if o.arguments is not None]),
        "two_step_tasks_solved": rate([o.solved for o in outcomes if o.steps == 2]),
        "all_tasks_solved": rate([o.solved for o in outcomes]),
        "solved_by_kind": {
            kind: rate([o.solved for o in outcomes if o.kind == kind]) for kind in sorted(kinds)
        },
    }


async def _run(options: argparse.Namespace) -> dict[str, Any]:
    model = await open_model(resolve_model(options.model))
    scores: dict[str, Any] = {"seed": options.seed}
    wordings: tuple[Wording, ...] = ("known", "unseen")
    try:
        for wording in wordings:
            count = options.count if wording == "known" else options.count // 2
            outcomes = await evaluate(model, count, wording=wording, seed=options.seed)
            scores[wording] = summarise(outcomes)
            if options.failures:
                for outcome in outcomes:
                    if not outcome.solved:
                        print(f"{outcome.kind}: {outcome.prompt!r}")
                        print(f"  expected {outcome.expected}\n  got      {outcome.got}")
    finally:
        await close_models()
    return scores


def main() -> None:
    """Command line entry: print the scores as JSON, and write them into the card when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a model directory; the bundled model if left out")
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=_SEED)
    parser.add_argument("--failures", action="store_true", help="print what went wrong")
    parser.add_argument("--card", type=Path, help="the page to write, such as docs/tiny-model.md")
    options = parser.parse_args()
    print(prefer_fast_blas(2).detail, file=sys.stderr)  # before the model brings MLX in
    scores = anyio.run(_run, options)
    print(json.dumps(scores, indent=2))
    if options.card:
        folder = resolve_model(options.model).path
        assert folder is not None, "a scripted model has no card"
        write_card(options.card, folder, scores)


if __name__ == "__main__":
    main()
