import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import mlx.core as mx
import pytest

from punie.models.mlx.bench.answers import generate as run
from punie.models.mlx.decoding.draft_model import DraftModel
from punie.models.mlx.decoding.sampling import Sampler
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import Finished, GenerateRequest
from tests.models.families import FamilyDirectories, Size, build_family
from tests.models.test_decoding import SAMPLINGS, check_guide, prompt, request
from tests.models.tiny_model import build_model

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["twin", "stranger"])
async def drafted(
    request: pytest.FixtureRequest, family_directories: FamilyDirectories, tmp_path: Path
) -> AsyncIterator[Engine]:
    """A model with a draft model: one that knows all its answers, or one that knows none."""
    directory = family_directories.own("qwen3")
    draft = directory
    if request.param == "stranger":
        draft = build_family(tmp_path / "draft", "qwen3", size=Size(hidden=32), seed=9)
    engine = Engine()
    await engine.load(directory, draft)
    yield engine
    await engine.aclose()


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "warm", "hot"])
@pytest.mark.parametrize("guided", [False, True], ids=["free", "guided"])
async def test_a_draft_model_changes_nothing(
    drafted: Engine, sampling: object, guided: bool
) -> None:
    for number in range(5):
        asked = request(number, sampling, guided=guided)  # type: ignore[arg-type]
        plain = request(number, sampling, guided=guided)  # type: ignore[arg-type]
        expected, _ = await run(drafted, replace(plain, speculate=False))
        found, _ = await run(drafted, asked)
        assert found == expected
        if guided:
            check_guide(asked.guide, found)


async def test_a_twin_saves_most_passes(family_directories: FamilyDirectories) -> None:
    directory = family_directories.own("qwen3")
    engine = Engine()
    await engine.load(directory, directory)
    try:
        ends: list[Finished] = []
        for number in range(4):
            for sampling in SAMPLINGS:
                _, end = await run(engine, request(number, sampling, guided=False))
                ends.append(end)
        # The first responses are compared with plain steps; a wide pass may cost much here.
        assert sum(end.passes for end in ends) < sum(end.output for end in ends)
    finally:
        await engine.aclose()


async def test_what_a_draft_model_read_stays_true(drafted: Engine) -> None:
    """After company and cancels, which the drafter does not see, results are still the same."""

    async def one(number: int) -> None:
        await run(drafted, replace(request(number, SAMPLINGS[0]), owner=str(number)))

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(one, number)
    for number in range(4):
        answer, _ = await run(drafted, replace(request(number, SAMPLINGS[0]), owner=str(number)))
        longer = GenerateRequest((*prompt(number), *answer, 9, 9), max_tokens=30, owner=str(number))
        found, _ = await run(drafted, longer)
        expected, _ = await run(drafted, replace(longer, speculate=False, owner=None))
        assert found == expected


@pytest.mark.parametrize(
    ("family", "message"), [("qwen3_next", "cannot take tokens back"), ("none", "other tokens")]
)
async def test_a_model_that_cannot_draft_is_left_out(
    family: str, message: str, family_directories: FamilyDirectories, tmp_path: Path
) -> None:
    if family == "none":
        draft = build_model(tmp_path / "other")
        description = (draft / "tokenizer.json").read_text()
        (draft / "tokenizer.json").write_text(description.replace('"<think>"', '"<thought>"'))
    else:
        draft = family_directories.own("qwen3_next")
    engine = Engine()
    try:
        await engine.load(family_directories.own("qwen3"), draft)
        assert engine.draft_trouble is not None
        assert message in engine.draft_trouble
        found, _ = await run(engine, request(1, SAMPLINGS[0]))
        assert found
    finally:
        await engine.aclose()


def with_rows(source: Path, target: Path, more: int) -> Path:
    """Copy a model with so many rows more in its vocabulary, whose tokens are the likeliest."""
    shutil.copytree(source, target)
    loaded = mx.load(str(source / "model.safetensors"))
    assert isinstance(loaded, dict)
    table = loaded["model.embed_tokens.weight"]
    loud = mx.broadcast_to(100.0 * table[:1], (max(more, 0), table.shape[1]))
    table = mx.concatenate([table, loud])[: len(table) + more]
    loaded["model.embed_tokens.weight"] = table
    mx.eval(loaded)
    mx.save_safetensors(str(target / "model.safetensors"), loaded)
    config = json.loads((source / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "vocab_size": len(table)}))
    return target


async def test_siblings_with_vocabularies_of_other_widths(
    family_directories: FamilyDirectories, tmp_path: Path
) -> None:
    """Neither gets a token that only the other one knows: MLX would read beyond its table."""
    directory = family_directories.own("qwen3")
    width = json.loads((directory / "config.json").read_text())["vocab_size"]

    def draft(model: Path, tokens: tuple[int, ...]) -> tuple[int, ...]:
        asked = replace(request(1, SAMPLINGS[0]), tokens=tokens)
        drafter = DraftModel(model, directory, width, 1 << 20).drafter(asked, Sampler(SAMPLINGS[0]))
        return drafter.propose(4).tokens

    wide = with_rows(directory, tmp_path / "wide", 64)
    assert max(draft(wide, (5, 6, 7))) < width
    narrow = with_rows(directory, tmp_path / "narrow", -2)
    assert draft(narrow, (5, width - 1, 7)) == draft(narrow, (5, 0, 7))
