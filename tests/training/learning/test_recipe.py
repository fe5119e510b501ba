import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.models.catalog import bundled_directory
from punie.training.data.example import Example
from punie.training.learning.options import LearnOptions
from punie.training.learning.recipe import (
    DIRECT,
    recipe_text,
    rehearsal_count,
    rehearsal_direct,
)
from punie.training.pipeline.recipe import Recipe, read_recipe

OPTIONS = LearnOptions()
CALLING = Example.model_validate(
    {
        "messages": [
            {"role": "user", "content": "Read a.py"},
            {
                "role": "assistant",
                "tool_calls": [{"function": {"name": "read_file", "arguments": {"path": "a.py"}}}],
            },
            {"role": "tool", "content": "1:x"},
            {"role": "assistant", "content": "x."},
        ]
    }
)
DIRECTLY = Example.model_validate(
    {"messages": [*CALLING.chat(), *CALLING.chat()[::3]], "context": 4}
)


@given(st.integers(1, 3000), st.floats(0, 1), st.floats(0.1, 0.95))
def test_rehearsal_is_the_share_that_is_wanted_and_evens_out_direct_answers(
    own: int, share_direct: float, share: float
) -> None:
    direct = int(own * share_direct)
    rehearsed = rehearsal_count(own, share)
    assert rehearsed >= 40
    assert rehearsed / (own + rehearsed) >= share - 1e-9
    of_rehearsal = rehearsal_direct(own, direct, rehearsed)
    assert 0.05 <= of_rehearsal <= 0.9
    together = (direct + of_rehearsal * rehearsed) / (own + rehearsed)
    if 0.05 < of_rehearsal < 0.9:
        assert together == pytest.approx(DIRECT, abs=0.006)


def recipe(tmp_path: Path, base: str, folder: Path, *own: Example) -> Recipe:
    text = recipe_text("learned-1", base, folder, tmp_path / "examples", own, OPTIONS)
    (tmp_path / "recipe.toml").write_text(text)
    return read_recipe(str(tmp_path / "recipe.toml"))


def test_the_bundled_model_rehearses_what_it_was_made_of(tmp_path: Path) -> None:
    found = recipe(tmp_path, "punie-tiny", bundled_directory(), *[CALLING] * 20, *[DIRECTLY] * 20)
    assert found.model == "punie-tiny"
    rehearsal = found.steps["rehearsal"]
    assert (rehearsal["preset"], rehearsal["train"]) == ("tiny", 40)
    assert (rehearsal["direct"], rehearsal["valid"]) == (0.1, 120)
    assert "packed" not in found.steps
    assert found.steps["tune"]["longest"] == 2048


def test_a_packed_model_is_packed_again_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    config = json.loads((bundled_directory() / "config.json").read_text())
    config |= {"max_position_embeddings": 262_144}
    config |= {"quantization": {"group_size": 32, "bits": 5, "mode": "affine"}}
    (folder / "config.json").write_text(json.dumps(config))
    found = recipe(tmp_path, "org/model", folder, *[CALLING] * 100)
    assert found.model == str(folder)
    packed = found.steps["packed"]
    assert (packed["bits"], packed["group_size"], packed["model"]) == (5, 32, "@fused")
    tune = found.steps["tune"]
    assert (tune["batch"], tune["accumulate"], tune["longest"]) == (1, 4, 8192)
    assert tune["recompute"]
