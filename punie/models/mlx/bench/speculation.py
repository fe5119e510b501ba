"""What drafts from the context save where a model copies, and cost where it does not.

The edits are done by the agent's own tools in a real project. The tokens that a grammar forces are
read together with others as well; how much that alone saves is measured without drafts.
"""

import statistics
from contextlib import aclosing
from dataclasses import dataclass, field

from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from punie.models.mlx.bench.answers import ask, endless
from punie.models.mlx.bench.rows import Finding, Limit, Row
from punie.models.mlx.bench.suite import Subject
from punie.models.mlx.bench.work import EDITS, FILES, turn
from punie.models.mlx.generation import Finished
from punie.models.streaming import ModelUse

_ANSWER_TOKENS = 256
_FREE_TOKENS = 150
_RUNS = 15
_HOT = 2.0
_STORY = "Write a story in which no sentence is like another one."


@dataclass
class _Count:
    """Tokens written, and passes of the model for them."""

    output: int = 0
    passes: int = 0

    def add(self, end: Finished) -> None:
        """Count a response."""
        self.output += end.output
        self.passes += end.passes

    @property
    def rate(self) -> float:
        """Passes for each token."""
        return self.passes / max(self.output, 1)


@dataclass
class _Edits:
    """All tasks, the calls that edit in them, and what was written in each response."""

    tasks: _Count = field(default_factory=_Count)
    calls: _Count = field(default_factory=_Count)
    edited: int = 0
    written: list[list[int]] = field(default_factory=list)


async def measure(subject: Subject) -> list[Finding]:
    """Let the model edit with drafts and without them, then write what has no copies."""
    drafted, plain = _Edits(), _Edits()
    for number, prompt in enumerate(EDITS):
        subject.say(f"edit {number + 1} of {len(EDITS)}")
        for side, edits in ((True, drafted), (False, plain)):
            await _edit(subject, prompt, f"bench-edit-{number}-{side}", side, edits)
    same = sum(map(list.__eq__, drafted.written, plain.written))
    answers = len(plain.written)
    # Where wide passes are slow drafts do not pay, and the engine leaves them alone.
    limit = Limit("at most", 0.5) if subject.bundled and subject.fast_blas else None
    everything = Limit("at least", 100.0) if subject.bundled else None
    of_tasks = f"written in {len(EDITS)} tasks ({drafted.tasks.output:,} tokens)"
    of_calls = f"written in {drafted.edited} calls that edit ({drafted.calls.output:,} tokens)"
    forced = "with what the grammar forces alone"
    return [
        Row("passes for edits", drafted.calls.rate, "per token", of_calls, limit),
        Row("without drafts", plain.calls.rate, "per token", f"written there, {forced}"),
        Row("passes for whole tasks", drafted.tasks.rate, "per token", of_tasks),
        Row("without drafts", plain.tasks.rate, "per token", f"written there, {forced}"),
        Row("as without drafts", 100 * same / answers, "%", f"of {answers} answers", everything),
        await _without_copies(subject),
    ]


async def _edit(subject: Subject, prompt: str, owner: str, speculate: bool, edits: _Edits) -> None:
    model = subject.model.used_by(ModelUse(owner, speculate=speculate))
    settings = ModelSettings(max_tokens=_ANSWER_TOKENS, temperature=0.0)
    messages: list[ModelMessage] = []
    async with subject.project(FILES) as run:
        steps = turn(model, messages, prompt, settings, subject.parameters, run)
        async with aclosing(steps):
            async for step in steps:
                end, calls = step.answer.end, step.answer.response.tool_calls
                edits.tasks.add(end)
                edits.written.append(step.answer.tokens)
                if any(call.tool_name == "edit_file" for call in calls):
                    edits.edited += 1
                    edits.calls.add(end)


async def _without_copies(subject: Subject) -> Row:
    """Compare the time of text at a high temperature, which hardly repeats itself."""
    messages: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart(_STORY)])]
    ratios, count = [], _Count()
    for run in range(_RUNS + 1):
        subject.say(f"text without copies, run {run + 1} of {_RUNS + 1}")
        seconds = {}
        # Which side comes first changes from run to run.
        for side in (True, False) if run % 2 else (False, True):
            model = subject.model.used_by(ModelUse(f"bench-story-{side}", speculate=side))
            settings = ModelSettings(max_tokens=_FREE_TOKENS, temperature=_HOT, seed=run)
            with endless(subject.model):
                answer = await ask(model, messages, settings, ModelRequestParameters())
            seconds[side] = answer.last - answer.first
            if side:
                count.add(answer.end)
        if run:
            ratios.append(seconds[True] / seconds[False])
    return Row(
        "time where nothing is copied",
        statistics.median(ratios),
        "times",
        f"that without drafts (median of {_RUNS} texts of {_FREE_TOKENS} tokens at temperature "
        f"{_HOT}, {count.rate:.2f} passes per token)",
        Limit("at most", 1.05),
    )
