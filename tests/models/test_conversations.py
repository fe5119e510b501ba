"""What a turn prefills: only what is new, whatever the family, the template or the restart."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from punie.models.mlx.chat_format import ChatFormat, ToolSpecification
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import GenerateRequest
from punie.models.mlx.guidance.guide import TokenMask
from punie.models.options import EngineOptions
from tests.assets import needs_assets
from tests.models.families import FAMILIES, TRIMMABLE, Family, FamilyDirectories, TemplateName
from tests.models.test_decoding import run

pytestmark = pytest.mark.anyio

TURNS = 20
READ = ToolSpecification(
    "read_file", "Reads.", {"type": "object", "properties": {"path": {"type": "string"}}}
)
TOOLS = [READ]


class Dictation:
    """A guide that dictates a response, as a model would have written it."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens)
        self._at = 0

    def accept(self, tokens: Sequence[int]) -> int:
        for index, token in enumerate(tokens):
            if self._at >= len(self._tokens) or token != self._tokens[self._at]:
                return index
            self._at += 1
        return len(tokens)

    def forced(self) -> tuple[int, ...]:
        return tuple(self._tokens[self._at : self._at + 3])

    def mask(self) -> TokenMask | None:
        return None

    def rollback(self, count: int) -> None:
        self._at -= count


@dataclass
class Conversation:
    """A session with one model; counts what it prefilled beyond what was new."""

    engine: Engine
    chat: ChatFormat
    owner: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    known: list[list[int]] = field(default_factory=list)
    surplus: list[int] = field(default_factory=list)

    async def answer(self, message: dict[str, Any]) -> None:
        """Let the model write a message, word for word."""
        prompt = self.chat.encode(self.messages, TOOLS)
        whole = self.chat.encode([*self.messages, message], TOOLS, generation_prompt=False).tokens
        end = self.chat.vocabulary.control["<|im_end|>"]
        if whole[: len(prompt.tokens)] == prompt.tokens:
            written = whole[len(prompt.tokens) :]
        else:
            # The prompt opens a thought, which the rendering of a message does in its own way.
            thought = message.get("reasoning_content", "")
            body = whole[_shared(whole, prompt.tokens) :]
            closer = self.chat.vocabulary.control["</think>"]
            after = body[body.index(closer) :] if closer in body else [closer, *body]
            written = [*self.chat.vocabulary.encode_text(f"{thought}\n"), *after]
        written = written[: len(written) - written[::-1].index(end)]
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
        tokens, finished = await run(self.engine, request)
        assert finished.reason == "stop"
        assert tokens == written[:-1]
        new = len(prompt.tokens) - max((_shared(prompt.tokens, t) for t in self.known), default=0)
        if self.known:
            self.surplus.append(finished.prefilled - new)
        self.known.append([*prompt.tokens, *written])
        self.messages.append(message)

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


def _shared(left: Sequence[int], right: Sequence[int]) -> int:
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))


async def converse(directory: Path, *, thinks: bool, turns: int = TURNS) -> list[int]:
    """Return the surplus of each model call of a conversation beside another session's."""
    engine = Engine()
    await engine.load(directory)
    chat = ChatFormat.load(directory)
    system = {"role": "system", "content": "You are brief. " * 5}
    try:
        one = Conversation(engine, chat, "one", [system])
        other = Conversation(engine, chat, "other", [system])
        # The other session too finds the system prompt read already.
        first = chat.encode([system, {"role": "user", "content": ""}], TOOLS)
        other.known.append(first.tokens[: first.checkpoints.system])
        for number in range(turns):
            await one.turn(number, thinks=thinks)
            if number % 5 == 0:
                await other.turn(100 + number, thinks=thinks)
        return [*one.surplus, *other.surplus]
    finally:
        await engine.aclose()


@pytest.mark.parametrize("template_name", ["append", "json"])
@pytest.mark.parametrize("family", FAMILIES)
async def test_a_prompt_that_only_grows_is_read_once(
    family: Family, template_name: TemplateName, family_directories: FamilyDirectories
) -> None:
    surplus = await converse(family_directories.own(family, template_name), thinks=False)
    assert max(surplus) <= 0, surplus


@pytest.mark.parametrize("family", FAMILIES)
async def test_where_thoughts_go_only_the_last_turn_is_read_anew(
    family: Family, family_directories: FamilyDirectories
) -> None:
    surplus = await converse(family_directories.own(family, "strip"), thinks=True)
    if family in TRIMMABLE:
        assert max(surplus) <= 0, surplus
    else:
        # A state is kept where the answer starts, three tokens before the texts part.
        assert max(surplus) <= 4, surplus


PUBLISHED = ["Qwen3-Coder-30B-A3B-Instruct", "Qwen-Qwen3-0.6B", "Qwen3.5-4B"]


@needs_assets
@pytest.mark.parametrize("published", PUBLISHED)
@pytest.mark.parametrize("family", ["qwen3_moe", "qwen3_5"])
async def test_published_templates_and_tokens(
    family: Family, published: str, family_directories: FamilyDirectories
) -> None:
    thinks = published != PUBLISHED[0]
    surplus = await converse(family_directories.real(family, published), thinks=thinks, turns=4)
    assert max(surplus) <= (0 if family in TRIMMABLE or not thinks else 4), surplus


@pytest.mark.parametrize("template_name", ["append", "strip"])
@pytest.mark.parametrize("family", FAMILIES)
async def test_after_a_restart_only_new_tokens_are_read(
    family: Family,
    template_name: TemplateName,
    family_directories: FamilyDirectories,
    tmp_path: Path,
) -> None:
    directory = family_directories.own(family, template_name)
    thinks = template_name == "strip"
    options = EngineOptions(prefix_directory=tmp_path / "prefixes", prefix_bytes=1 << 30)
    chat = ChatFormat.load(directory)
    system = {"role": "system", "content": "You are brief. " * 5}
    engine = Engine(options)
    await engine.load(directory)
    one = Conversation(engine, chat, "one", [system])
    try:
        for number in range(6):
            await one.turn(number, thinks=thinks)
    finally:
        await engine.aclose()
    again = Engine(options)
    await again.load(directory)
    one.engine = again
    one.surplus.clear()
    try:
        for number in range(6, 9):
            await one.turn(number, thinks=thinks)
        assert max(one.surplus) <= (0 if family in TRIMMABLE or not thinks else 4), one.surplus
        other = Conversation(again, chat, "other", [system])
        first = chat.encode([system, {"role": "user", "content": ""}], TOOLS)
        other.known.append(first.tokens[: first.checkpoints.system])
        await other.turn(100, thinks=thinks)
        assert max(other.surplus) <= 0, other.surplus
    finally:
        await again.aclose()
