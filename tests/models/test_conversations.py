"""What a turn prefills: only what is new, whatever the family, the template or the restart."""

from pathlib import Path

import pytest

from punie.models.mlx.bench.conversation import (
    SYSTEM,
    TOOLS,
    TURNS,
    Conversation,
    converse_alone,
)
from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.engine import Engine
from punie.models.options import EngineOptions
from tests.assets import needs_assets
from tests.models.families import FAMILIES, TRIMMABLE, Family, FamilyDirectories, TemplateName

pytestmark = pytest.mark.anyio


LONG: tuple[Family, ...] = ("qwen3_moe", "qwen3_5")
"""One family of each kind of cache; what is kept over many turns depends on nothing else."""


def turns_of(family: Family) -> int:
    return TURNS if family in LONG else 8


async def surplus_of(directory: Path, *, thinks: bool, turns: int) -> list[int]:
    """Return what each model call of a conversation read again."""
    calls = await converse_alone(directory, thinks=thinks, turns=turns)
    assert len(calls) > 2 * turns
    return [call.surplus for call in calls]


@pytest.mark.parametrize("template_name", ["append", "json"])
@pytest.mark.parametrize("family", FAMILIES)
async def test_a_prompt_that_only_grows_is_read_once(
    family: Family, template_name: TemplateName, family_directories: FamilyDirectories
) -> None:
    directory = family_directories.own(family, template_name)
    surplus = await surplus_of(directory, thinks=False, turns=turns_of(family))
    assert max(surplus) <= 0, surplus


@pytest.mark.parametrize("family", FAMILIES)
async def test_where_thoughts_go_only_the_last_turn_is_read_anew(
    family: Family, family_directories: FamilyDirectories
) -> None:
    directory = family_directories.own(family, "strip")
    surplus = await surplus_of(directory, thinks=True, turns=turns_of(family))
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
    surplus = await surplus_of(family_directories.real(family, published), thinks=thinks, turns=4)
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
    engine = Engine(options)
    await engine.load(directory)
    one = Conversation(engine, chat, "one")
    try:
        for number in range(6):
            await one.turn(number, thinks=thinks)
    finally:
        await engine.aclose()
    one.engine = again = Engine(options)
    await again.load(directory)
    before = len(one.calls)
    try:
        for number in range(6, 9):
            await one.turn(number, thinks=thinks)
        surplus = [call.surplus for call in one.calls[before:]]
        assert max(surplus) <= (0 if family in TRIMMABLE or not thinks else 4), surplus
        other = Conversation(again, chat, "other")
        first = chat.encode([SYSTEM, {"role": "user", "content": ""}], TOOLS)
        other.known.append(first.tokens[: first.checkpoints.system])
        await other.turn(100, thinks=thinks)
        assert max(call.surplus for call in other.calls) <= 0, other.calls
    finally:
        await again.aclose()
