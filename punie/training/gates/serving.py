"""The serving gate: whether a model does the product's work, in the product's own way.

The model is opened by the engine and works on held-out tasks through the real agent: with the
grammar that holds its calls, as in the product, and without, since a model that needs to be held
has not learned its format.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestParameters

from punie.agent.toolset import turn_parameters
from punie.evaluation.errors import EvaluationError
from punie.evaluation.intervals import Rate, paired, rate
from punie.evaluation.results import Result
from punie.evaluation.tasks import TaskOptions, Wording, solve_tasks
from punie.models.catalog import ModelUnavailable, resolve_model
from punie.models.load import close_models, open_model
from punie.models.options import EngineOptions
from punie.models.streaming import StreamingModel
from punie.tools.base import AnyTool
from punie.training.errors import TrainingError
from punie.training.gates.report import Check, GateReport
from punie.training.generator.shards import offered_tools
from punie.training.progress import Progress, Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash

_SHARE_OF_WINDOW = 0.75
"""What is said before a conversation may take this much of the window; the rest is for it."""
_NAMED = 3
_WITH_A_DRAFT = 6
"""Tasks that are solved with and without drafts, one after the other."""


class ServingLimits(BaseModel):
    """How much is asked of a model, and what it must reach.

    A rate fails if it is below its limit by more than chance explains: if all of its 95 % interval
    is. With a base, the same tasks may not come out worse than the base's either (McNemar, 5 %).

    Attributes:
        tasks: held-out tasks that need a tool, each solved with the grammar and without.
        direct: questions that are to be answered without a tool.
        seed: which tasks.
        wording: phrases that training shows too, or phrases that it never shows.
        preset: the generator's mix that the tasks are of.
        families: only tasks of these families; those of the preset if empty.
        least_tool: least rate of the right tool.
        least_solved: least rate of tasks with the right files and facts.
        least_direct: least rate of direct questions that are answered without a call.
        most_malformed: largest share of calls that cannot be read without the grammar.
        most_unended: largest share of tasks whose answer ran into a limit.
        most_repeating: largest share of tasks in which an answer only repeated itself.
        max_tokens: of one answer; None for as many as tasks of the preset may need.
        parallel: sessions at a time.
        draft_model: a reference of a draft model that is to serve along; None for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: int = Field(default=40, ge=1, le=10_000)
    direct: int = Field(default=12, ge=1, le=10_000)
    seed: int = 4_711
    wording: Wording = "known"
    preset: str = "tiny"
    families: tuple[str, ...] = ()
    least_tool: float = Field(default=0.7, ge=0, le=1)
    least_solved: float = Field(default=0.4, ge=0, le=1)
    least_direct: float = Field(default=0.7, ge=0, le=1)
    most_malformed: float = Field(default=0.05, ge=0, le=1)
    most_unended: float = Field(default=0.05, ge=0, le=1)
    most_repeating: float = Field(default=0.05, ge=0, le=1)
    max_tokens: int | None = Field(default=None, ge=16, le=32_768)
    parallel: int = Field(default=8, ge=1, le=64)
    draft_model: str | None = None

    @property
    def usual(self) -> TaskOptions:
        """The tasks as the product's agent meets them."""
        return TaskOptions(
            count=self.tasks,
            seed=self.seed,
            wording=self.wording,
            preset=self.preset,
            families=self.families,
            direct=False,
            max_tokens=self.max_tokens,
            parallel=self.parallel,
        )

    @property
    def direct_questions(self) -> TaskOptions:
        """The questions that need no tool."""
        return self.usual.model_copy(
            update={"count": self.direct, "direct": True, "families": (), "seed": self.seed + 1}
        )


_USUAL = ServingLimits()


def serving_gate(
    model: Path,
    limits: ServingLimits = _USUAL,
    base: Path | None = None,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> GateReport:
    """Let a model do the product's work; with `base` what it may not be worse than.

    Not for use inside an event loop.

    Raises:
        TrainingError: there is no such folder or preset, the base or the draft model cannot be
            opened; `Interrupted` if it was asked to stop.
    """
    if not model.is_dir():
        raise TrainingError(f"There is no model folder {model}; name a folder that holds one.")
    for options in (limits.usual, limits.direct_questions):
        options.weights()
    checks = anyio.run(functools.partial(_look, model, limits, base, report, stopped))
    return GateReport(
        gate="serving", subject=str(model), subject_hash=model_hash(model), checks=tuple(checks)
    )


async def _look(
    model: Path, limits: ServingLimits, base: Path | None, report: Reporter, stopped: Stopped
) -> list[Check]:
    try:
        opened = await _open(model)
    except TrainingError as error:
        return [Check(name="loads", passed=False, found=str(error))]
    checks = [Check(name="loads", passed=True, found="The engine has its weights and its format.")]
    try:
        checks.append(await _prompt(opened, offered_tools(code=False)))
        if not checks[-1].passed:
            return checks
        run = functools.partial(_solve, opened, report=report, stopped=stopped)
        usual = await run("with the grammar", limits.usual)
        free = await run("without the grammar", _free(limits.usual))
        direct = await run("direct questions", limits.direct_questions)
        alone: list[Result] = []
        if limits.draft_model is not None:
            alone = await run("without the draft model", _alone(limits))
    except EvaluationError as error:
        return [*checks, Check(name="engine", passed=False, found=str(error))]
    finally:
        with anyio.CancelScope(shield=True):
            await close_models()
    checks += _own_checks(limits, usual, free, direct)
    checks += _floors(limits, usual)
    if base is not None:
        before = await _with(base, None, limits.usual, "the base", report, stopped)
        checks += _against(before, usual)
    if limits.draft_model is not None:
        drafted = await _with(
            model, limits.draft_model, _alone(limits), "with the draft model", report, stopped
        )
        checks.append(_drafts(alone, drafted))
    return checks


def _free(options: TaskOptions) -> TaskOptions:
    return options.model_copy(update={"guided": False})


def _alone(limits: ServingLimits) -> TaskOptions:
    """Return a few tasks, one at a time: drafts are made for a response that is alone."""
    return limits.usual.model_copy(
        update={"count": min(_WITH_A_DRAFT, limits.tasks), "parallel": 1}
    )


async def _open(model: Path, draft: str | None = None) -> StreamingModel:
    try:
        opened = await open_model(
            resolve_model(str(model)), options=EngineOptions(draft_model=draft)
        )
    except ModelUnavailable as error:
        raise TrainingError(str(error)) from error
    if draft is not None and opened.warnings:
        await close_models()
        raise TrainingError(opened.warnings[0])
    return opened


async def _with(
    model: Path,
    draft: str | None,
    options: TaskOptions,
    doing: str,
    report: Reporter,
    stopped: Stopped,
) -> list[Result]:
    opened = await _open(model, draft)
    try:
        return await _solve(opened, doing, options, report, stopped)
    finally:
        with anyio.CancelScope(shield=True):
            await close_models()


async def _solve(
    opened: StreamingModel, doing: str, options: TaskOptions, report: Reporter, stopped: Stopped
) -> list[Result]:
    def tell(progress: Progress) -> None:
        report(replace(progress, doing=doing))

    return await solve_tasks(opened, options, report=tell, stopped=stopped)


async def _prompt(opened: StreamingModel, tools: Sequence[AnyTool]) -> Check:
    """Tell whether the product's instructions and tools leave room for a conversation."""
    name = "prompt"
    window = opened.profile.get("context_window") or 0
    request = ModelRequest(parts=[UserPromptPart("Hello")])
    try:
        usage = await opened.count_tokens([request], None, turn_parameters(tools))
    except ModelAPIError as error:
        return Check(name=name, passed=False, found=str(error))
    limit = int(window * _SHARE_OF_WINDOW)
    tokens = usage.input_tokens
    bare = await opened.count_tokens([request], None, ModelRequestParameters())
    if tokens == bare.input_tokens:
        found = f"The model's template leaves instructions and tools out; its window is {window:,}."
    else:
        found = (
            f"Instructions and {len(tools)} tools take {tokens:,} tokens of a window of {window:,}."
        )
    if tokens > limit:
        found += " That leaves no room for a conversation; choose a model with a longer window."
    return Check(name=name, passed=tokens <= limit, found=found, measured=tokens, limit=limit)


def _own_checks(
    limits: ServingLimits, usual: list[Result], free: list[Result], direct: list[Result]
) -> Iterator[Check]:
    everything = [*usual, *free, *direct]
    failed = [result.trouble for result in everything if result.model_failed]
    yield Check(
        name="engine",
        passed=not failed,
        found=failed[0] if failed else f"No request of {len(everything)} tasks failed.",
        measured=len(failed),
        limit=0,
    )
    calls = sum(len(result.calls) for result in free)
    readable = _at_most(
        "calls can be read",
        rate(min(calls, sum(result.malformed for result in free)), calls),
        limits.most_malformed,
        "of the calls without the grammar cannot be read",
    )
    if not calls:
        found = "Without the grammar it called no tool at all, so nothing is known of its calls."
        readable = Check(name=readable.name, passed=False, found=found)
    yield readable
    yield _at_most(
        "answers end",
        _share([*usual, *direct], lambda result: result.stop != "end_turn"),
        limits.most_unended,
        "of the answers ran into a limit; a model that never writes its end of turn does",
    )
    yield _at_most(
        "no repetition",
        _share(everything, lambda result: result.cut),
        limits.most_repeating,
        "of the tasks had an answer that only repeated itself",
    )
    yield _at_least(
        "direct questions",
        _share(direct, lambda result: result.check("tool").strict),
        limits.least_direct,
        "of the questions that need no tool were answered without one",
    )


def _floors(limits: ServingLimits, usual: list[Result]) -> Iterator[Check]:
    yield _at_least(
        "right tool",
        _share(usual, lambda result: result.check("tool").soft),
        limits.least_tool,
        "of the tasks had the right tool",
    )
    yield _at_least(
        "solved",
        _share(usual, lambda result: result.solved.soft),
        limits.least_solved,
        "of the tasks ended with the right files and facts" + _weakest(usual),
    )


def _weakest(usual: Sequence[Result]) -> str:
    """Name the kinds of tasks that went wrong, the worst first."""
    kinds = {
        kind: [result.solved.soft for result in usual if result.kind == kind]
        for kind in sorted({result.kind for result in usual})
    }
    worst = sorted((kind for kind in kinds if not all(kinds[kind])), key=lambda k: _part(kinds[k]))
    named = [f"{kind} {sum(kinds[kind])} of {len(kinds[kind])}" for kind in worst[:_NAMED]]
    return f"; the weakest: {', '.join(named)}" if named else ""


def _part(solved: Sequence[bool]) -> float:
    return sum(solved) / len(solved)


def _against(before: Sequence[Result], after: Sequence[Result]) -> Iterator[Check]:
    columns: tuple[tuple[str, Callable[[Result], bool]], ...] = (
        ("right tool, against the base", lambda result: result.check("tool").soft),
        ("solved, against the base", lambda result: result.solved.soft),
    )
    for name, column in columns:
        found = paired([column(result) for result in before], [column(o) for o in after])
        yield Check(
            name=name,
            passed=not found.is_worse,
            found=f"{found} on the same {len(after)} tasks.",
            measured=found.difference,
            limit=0,
        )


def _drafts(alone: Sequence[Result], drafted: Sequence[Result]) -> Check:
    """Drafts may only save time."""
    other = sum(one.messages != two.messages for one, two in zip(alone, drafted, strict=True))
    if other:
        found = f"{other} of {len(alone)} tasks came out otherwise with the draft model."
    else:
        found = f"{len(alone)} tasks came out the same with the draft model."
    return Check(name="draft model", passed=not other, found=found, measured=other, limit=0)


def _share(results: Sequence[Result], is_so: Callable[[Result], bool]) -> Rate:
    return rate(sum(map(is_so, results)), len(results))


def _at_least(name: str, found: Rate, limit: float, what: str) -> Check:
    return Check(
        name=name,
        passed=found.high >= limit,
        found=f"{found} {what}.",
        measured=found.value,
        limit=limit,
    )


def _at_most(name: str, found: Rate, limit: float, what: str) -> Check:
    return Check(
        name=name,
        passed=found.value <= limit,
        found=f"{found} {what}.",
        measured=found.value,
        limit=limit,
    )
