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
from punie.models.mlx.bench.rows import BenchError, Finding, Limit, Row
from punie.models.mlx.bench.suite import Subject
from punie.models.mlx.bench.work import EDITS, FILES, turn
from punie.models.streaming import ModelUse

_ANSWER_TOKENS = 256
_FREE_TOKENS = 150
_RUNS = 7
_STORY = "Write a story in which no sentence is like another one."


@dataclass
class _Edits:
    """What was written in all edits: tokens, passes of the model, and the texts by task."""

    output: int = 0
    passes: int = 0
    edited: int = 0
    written: list[list[int]] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Passes for each token."""
        if not self.output:
            raise BenchError("the model writes nothing")
        return self.passes / self.output


async def measure(subject: Subject) -> list[Finding]:
    """Let the model edit with drafts and without them, then write what has no copies."""
    drafted, plain = _Edits(), _Edits()
    for number, prompt in enumerate(EDITS):
        subject.say(f"edit {number + 1} of {len(EDITS)}")
        for side, edits in ((True, drafted), (False, plain)):
            await _edit(subject, prompt, f"bench-edit-{number}-{side}", side, edits)
    same = sum(map(list.__eq__, drafted.written, plain.written))
    done = f"{drafted.output:,} tokens of {len(EDITS)} tasks, {drafted.edited} edits"
    return [
        Row(
            "passes with drafts",
            drafted.rate,
            "per token",
            f"written, with what the grammar forces ({done})",
            subject.bundled_limit(Limit("at most", 0.5)),
        ),
        Row(
            "passes without drafts",
            plain.rate,
            "per token",
            "written, with what the grammar forces alone",
        ),
        Row(
            "written as without drafts",
            100 * same / len(plain.written),
            "%",
            f"of {len(plain.written)} answers, greedily",
            subject.bundled_limit(Limit("at least", 100.0)),
        ),
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
                edits.output += step.answer.end.output
                edits.passes += step.answer.end.passes
                edits.written.append(step.answer.tokens)
                calls = step.answer.response.tool_calls
                edits.edited += sum(call.tool_name == "edit_file" for call in calls)


async def _without_copies(subject: Subject) -> Row:
    """Compare the time of text at a high temperature, which hardly repeats itself."""
    messages: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart(_STORY)])]
    with_drafts, without = [], []
    for run in range(_RUNS + 1):
        subject.say(f"text without copies, run {run + 1} of {_RUNS + 1}")
        seconds = {}
        # Which side comes first changes from run to run.
        for side in (True, False) if run % 2 else (False, True):
            model = subject.model.used_by(ModelUse(f"bench-story-{side}", speculate=side))
            settings = ModelSettings(max_tokens=_FREE_TOKENS, temperature=1.3, seed=run)
            with endless(subject.model):
                answer = await ask(model, messages, settings, ModelRequestParameters())
            seconds[side] = answer.last - answer.first
        if run:
            with_drafts.append(seconds[True])
            without.append(seconds[False])
    return Row(
        "time where nothing is copied",
        statistics.median(with_drafts) / statistics.median(without),
        "times",
        f"that without drafts ({_FREE_TOKENS} tokens at temperature 1.3, medians of {_RUNS})",
        Limit("at most", 1.05),
    )
