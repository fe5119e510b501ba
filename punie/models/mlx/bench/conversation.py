"""A long conversation with tools whose responses are dictated, and what is prefilled in it.

What a model reads again does not depend on what it says, so the responses are given: any model,
also one of random weights, then holds the same conversation.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from punie.models.mlx.bench.answers import generate
from punie.models.mlx.bench.rows import BenchError
from punie.models.mlx.chat_format import ChatFormat, ToolSpecification
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import GenerateRequest
from punie.models.mlx.guidance.guide import TokenMask
from punie.models.options import EngineOptions

TURNS = 20
_SAVED_BYTES = 1 << 30
TOOLS = (
    ToolSpecification(
        "read_file", "Reads.", {"type": "object", "properties": {"path": {"type": "string"}}}
    ),
)
SYSTEM = {"role": "system", "content": "You are brief. " * 5}


class Dictation:
    """A guide that dictates a response, as a model would have written it."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens)
        self._at = 0

    def accept(self, tokens: Sequence[int]) -> int:
        """Take what was dictated."""
        for index, token in enumerate(tokens):
            if self._at >= len(self._tokens) or token != self._tokens[self._at]:
                return index
            self._at += 1
        return len(tokens)

    def forced(self) -> tuple[int, ...]:
        """Return the next few tokens."""
        return tuple(self._tokens[self._at : self._at + 3])

    def mask(self) -> TokenMask | None:
        """Return None: every token is forced."""
        return None

    def rollback(self, count: int) -> None:
        """Go back by some tokens."""
        self._at -= count


@dataclass(frozen=True)
class Call:
    """One call of the model: the session, its messages, its prompt, and how much of it was new."""

    owner: str
    messages: tuple[dict[str, Any], ...]
    prompt: tuple[int, ...]
    new: int
    prefilled: int

    @property
    def surplus(self) -> int:
        """Tokens that were read though they had been read or written before."""
        return self.prefilled - self.new


@dataclass
class Conversation:
    """A session with one model; `known` are the token sequences that it has seen so far."""

    engine: Engine
    chat: ChatFormat
    owner: str
    messages: list[dict[str, Any]] = field(default_factory=lambda: [SYSTEM])
    known: list[list[int]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    async def answer(self, message: dict[str, Any]) -> None:
        """Let the model write a message, word for word."""
        prompt = self.chat.encode(self.messages, TOOLS)
        end, written = self._written(prompt.tokens, message)
        places = prompt.checkpoints
        request = GenerateRequest(
            tuple(prompt.tokens),
            max_tokens=len(written) + 5,
            stop_ids=frozenset({end}),
            owner=self.owner,
            guide=Dictation(written),
            checkpoints=(
                (places.system, "system"),
                (places.turn, "turn"),
                (places.message, "message"),
            ),
        )
        tokens, finished = await generate(self.engine, request)
        if finished.reason != "stop" or tokens != written[:-1]:
            raise BenchError("the model did not write what was dictated")
        new = len(prompt.tokens) - max((shared(prompt.tokens, t) for t in self.known), default=0)
        before = tuple(self.messages)
        self.calls.append(Call(self.owner, before, tuple(prompt.tokens), new, finished.prefilled))
        self.known.append([*prompt.tokens, *written])
        self.messages.append(message)

    def _written(self, prompt: list[int], message: dict[str, Any]) -> tuple[int, list[int]]:
        """Return the token that ends a turn and what a model writes of a message, with that."""
        whole = self.chat.encode([*self.messages, message], TOOLS, generation_prompt=False).tokens
        if whole[: len(prompt)] == prompt:
            written = whole[len(prompt) :]
        else:
            # The prompt opens a thought, which the rendering of a message does in its own way.
            thought = message.get("reasoning_content", "")
            body = whole[shared(whole, prompt) :]
            closer = self.chat.vocabulary.control["</think>"]
            after = body[body.index(closer) :] if closer in body else [closer, *body]
            written = [*self.chat.vocabulary.encode_text(f"{thought}\n"), *after]
        ends = [at for at, token in enumerate(written) if token in self.chat.stop_ids]
        if not ends:
            raise BenchError("the chat template does not end a turn with a token of its own")
        return written[ends[-1]], written[: ends[-1] + 1]

    async def turn(self, number: int, *, thinks: bool) -> None:
        """One turn: a question, a call, its result, an answer."""
        self.messages.append({"role": "user", "content": f"What is in file {number}? " * 3})
        call = {"name": "read_file", "arguments": {"path": f"src/part_{number}.py"}}
        thought = {"reasoning_content": f"I read number {number} first."} if thinks else {}
        await self.answer(
            {"role": "assistant", "content": "I look.", "tool_calls": [call], **thought}
        )
        result = "\n".join(f"{line}: value_{number * line} = {line}" for line in range(8))
        self.messages.append({"role": "tool", "content": result})
        thought = {"reasoning_content": f"So it is {number}."} if thinks else {}
        await self.answer({"role": "assistant", "content": f"It holds {number}.", **thought})


async def converse(
    engine: Engine,
    chat: ChatFormat,
    *,
    thinks: bool,
    turns: int = TURNS,
    name: str = "bench",
    say: Callable[[str], None] = lambda _: None,
) -> list[Call]:
    """Hold a conversation beside a shorter one of another session; return all but its first call.

    `name` begins the names of the sessions.
    """
    one = Conversation(engine, chat, f"{name}-one")
    other = Conversation(engine, chat, f"{name}-other")
    # The other session too finds the system prompt read already.
    first = chat.encode([SYSTEM, {"role": "user", "content": ""}], TOOLS)
    other.known.append(first.tokens[: first.checkpoints.system])
    for number in range(turns):
        say(f"turn {number + 1} of {turns}")
        await one.turn(number, thinks=thinks)
        if number % 5 == 0:
            await other.turn(100 + number, thinks=thinks)
    return [*one.calls[1:], *other.calls]


async def converse_alone(directory: Path, *, thinks: bool, turns: int = TURNS) -> list[Call]:
    """Hold the conversation on an engine of its own."""
    engine = Engine()
    try:
        await engine.load(directory)
        return await converse(engine, ChatFormat.load(directory), thinks=thinks, turns=turns)
    finally:
        await engine.aclose()


async def converse_after_restart(
    directory: Path,
    chat: ChatFormat,
    *,
    thinks: bool,
    turns: int = TURNS,
    say: Callable[[str], None] = lambda _: None,
) -> list[Call]:
    """Hold a conversation, restart the engine in the middle; return the calls after that.

    What is saved on disk goes with the temporary folder that it is saved in.
    """
    before = 0
    with tempfile.TemporaryDirectory() as folder:
        options = EngineOptions(prefix_directory=Path(folder), prefix_bytes=_SAVED_BYTES)
        conversation: Conversation | None = None
        for half in (range(turns // 2), range(turns // 2, turns)):
            engine = Engine(options)
            try:
                await engine.load(directory)
                conversation = conversation or Conversation(engine, chat, "bench")
                conversation.engine = engine
                before = len(conversation.calls)
                for number in half:
                    say(f"turn {number + 1} of {turns}, with a restart")
                    await conversation.turn(number, thinks=thinks)
            finally:
                with anyio.CancelScope(shield=True):
                    await engine.aclose()
        assert conversation is not None
        return conversation.calls[before:]


def shared(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many first tokens two sequences share."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))
