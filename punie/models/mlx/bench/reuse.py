"""What a conversation reads again, alone and against `mlx_lm.server` with the same model.

The first figure comes from a dictated conversation. Against the server the model speaks for
itself, so that each side finds in its cache what it wrote; both get every request, one after the
other, with the same messages.
"""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from pydantic_ai.messages import ModelMessage, ToolCallPart
from pydantic_ai.settings import ModelSettings

from punie.models.mlx.bench.answers import Answer
from punie.models.mlx.bench.conversation import TURNS, Call, converse, converse_after_restart
from punie.models.mlx.bench.rows import BenchError, Finding, Limit, Row, Skipped
from punie.models.mlx.bench.server import ServedAnswer, Server, serving
from punie.models.mlx.bench.suite import Subject
from punie.models.mlx.bench.work import FILES, QUESTIONS, Step, turn
from punie.models.mlx.chat.messages import chat_messages
from punie.models.mlx.chat_format import ChatFormat, ToolSpecification
from punie.models.streaming import ModelUse

_ANSWER_TOKENS = 96
_AGAINST = "against mlx_lm.server"
_RESTART = "read again after a restart"


async def measure(subject: Subject) -> list[Finding]:
    """Hold the dictated conversation, then the model's own beside the server."""
    findings: list[Finding] = [await _surplus(subject)]
    if not subject.fits_twice:
        reason = "there is no memory for the model's weights twice"
        return [*findings, Skipped(_RESTART, reason), Skipped(_AGAINST, reason)]
    chat = subject.model.chat_format
    after = await converse_after_restart(
        subject.path, chat, thinks=not chat.keeps_thoughts, say=subject.say
    )
    findings.append(surplus_row(_RESTART, after, _most_again(chat)))
    try:
        async with serving(subject.path) as server:
            sides = await _beside(subject, server)
    except BenchError as error:
        return [*findings, Skipped(_AGAINST, str(error))]
    return [*findings, *sides.rows()]


async def _surplus(subject: Subject) -> Row:
    chat = subject.model.chat_format
    thinks = not chat.keeps_thoughts
    calls = await converse(subject.model.engine, chat, thinks=thinks, say=subject.say)
    return surplus_row("read again in a conversation", calls, _most_again(chat))


def _most_again(chat: ChatFormat) -> int:
    """Return the tokens that a request may read again.

    Where thoughts are dropped the texts part shortly behind the place at which a running state is
    kept.
    """
    return 0 if chat.keeps_thoughts else 4


def surplus_row(name: str, calls: Sequence[Call], most: int) -> Row:
    """Say how much of a conversation was read again; `most` tokens are right for one request."""
    prefilled, new = sum(call.prefilled for call in calls), sum(call.new for call in calls)
    whole = sum(len(call.prompt) for call in calls)
    return Row(
        name,
        max(call.surplus for call in calls),
        "tokens",
        f"at most in one of {len(calls)} requests with tools ({prefilled:,} "
        f"read, {new:,} were new, {whole:,} without reuse)",
        Limit("at most", most),
    )


@dataclass
class _Sides:
    """What both sides read and wrote, request by request."""

    ours: list[Answer] = field(default_factory=list)
    theirs: list[ServedAnswer] = field(default_factory=list)
    alike: int = 0
    unlike_prompts: int = 0
    turns: int = 0

    def add(self, ours: Answer, theirs: ServedAnswer) -> None:
        """Take the two answers to one request."""
        self.ours.append(ours)
        self.theirs.append(theirs)
        calls = tuple(
            (part.tool_name, part.args_as_dict())
            for part in ours.response.parts
            if isinstance(part, ToolCallPart)
        )
        same_text = (ours.response.text or "").strip() == theirs.text.strip()
        self.alike += same_text and calls == theirs.calls
        self.unlike_prompts += ours.end.prompt != theirs.prompt

    def rows(self) -> list[Finding]:
        """Compare the totals."""
        if not self.ours:
            raise BenchError("the model's window is too short for a conversation")
        read = sum(answer.end.prefilled for answer in self.ours)
        served = sum(answer.prompt - answer.cached for answer in self.theirs)
        ours, theirs = sum(a.last for a in self.ours), sum(a.seconds for a in self.theirs)
        written = sum(len(answer.tokens) for answer in self.ours)
        output = sum(answer.output for answer in self.theirs)
        unlike = f", {self.unlike_prompts} prompts unlike" if self.unlike_prompts else ""
        where = f"that of mlx_lm.server in {len(self.ours)} requests of {self.turns} turns"
        return [
            Row(
                "tokens read",
                read / max(served, 1),
                "times",
                f"{where} ({read:,} and {served:,} tokens)",
                Limit("at most", 1.0),
            ),
            Row(
                "time",
                ours / theirs,
                "times",
                f"{where} ({ours:.1f} s for {written:,} tokens written and {theirs:.1f} s for "
                f"{output:,}; {self.alike} answers alike{unlike})",
                Limit("at most", 1.0),
            ),
        ]


async def _beside(subject: Subject, server: Server) -> _Sides:
    model = subject.model.used_by(ModelUse("bench-reuse"))
    levels = model.chat_format.traits.thinking_levels
    settings = ModelSettings(max_tokens=_ANSWER_TOKENS, temperature=0.0)
    options: dict[str, object] = {}
    if False in levels:
        settings["thinking"] = False
        options["enable_thinking"] = False
    messages: list[ModelMessage] = []
    sides = _Sides()
    async with subject.project(FILES) as run:
        for number in range(TURNS):
            subject.say(f"turn {number + 1} of {TURNS}, beside mlx_lm.server")
            question = QUESTIONS[number % len(QUESTIONS)]
            before = len(sides.ours)
            steps = turn(model, messages, question, settings, subject.parameters, run)
            async with aclosing(steps):
                async for step in steps:
                    sides.add(step.answer, await _served(subject, server, step, options))
            if len(sides.ours) == before:
                break  # the window is full
            sides.turns += 1
    return sides


async def _served(
    subject: Subject, server: Server, step: Step, options: dict[str, object]
) -> ServedAnswer:
    parameters = subject.parameters
    instructions = "\n\n".join(part.content for part in parameters.instruction_parts or ())
    tools = [
        ToolSpecification(tool.name, tool.description or "", tool.parameters_json_schema)
        for tool in parameters.function_tools
    ]
    chat = chat_messages(step.messages, instructions or None)
    return await server.answer(chat, tools, _ANSWER_TOKENS, options)
