import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example, PromptPrefix
from punie.training.pipeline.foresight import Foresight
from punie.training.pipeline.graph import Graph, recipe_graph
from punie.training.pipeline.pipeline import Order, new_run, whole_model
from punie.training.pipeline.recipe import read_recipe
from punie.training.pipeline.runner import Running, run_graph
from punie.training.pipeline.runs import Run, only_run
from punie.training.pipeline.store import Store
from punie.training.progress import Progress, Stopped, never
from tests.training.sample_conversations import conversations

RECIPE = """\
name = "small"

[steps.base]
kind = "pretrain"
dataset = "data"
vocab = 300
hidden = 32
layers = 2
heads = 4
key_value_heads = 2
head_dim = 8
inner = 64
tokens = 512
steps = 2
validation_steps = 2

[steps.packed]
kind = "quantize"
model = "@base"
bits = 4
group_size = 32
"""


@pytest.fixture(autouse=True)
def private(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is the user's apart, and let no step wait for a compiler."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLX_DISABLE_COMPILE", "1")


PREFIX = PromptPrefix(
    tools=(
        {
            "type": "function",
            "function": {
                "name": "read_file",
                "description": "Read a file.",
                "parameters": {
                    "type": "object",
                    "properties": {"path": {"type": "string"}},
                    "required": ["path"],
                },
            },
        },
    )
)


def write_sound(folder: Path, train: int = 40, valid: int = 6) -> Path:
    """Write a dataset whose calls are of a tool that it has, a third of it answered directly."""
    parts: dict[str, list[Example]] = {}
    for part, count, seed in (("train", train, 1), ("valid", valid, 2)):
        found = conversations(count, seed)
        for number in range(0, count, 3):
            asked = found[number][0]["content"].replace("What is in", "What kind of file is")
            answer = found[number][0]["content"].removeprefix("What is in ").removesuffix("?")
            found[number] = [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": f"`{answer}` is a file of Python code."},
            ]
        parts[part] = [
            Example.model_validate({"messages": one, "prefix": PREFIX.id, "executed": True})
            for one in found
        ]
    manifest = Manifest(made_by="sample", prefixes={PREFIX.id: PREFIX})
    return write_dataset(folder, manifest, parts).folder


def build(folder: Path, text: str = RECIPE, values: Mapping[str, Any] | None = None) -> Graph:
    """The graph of a recipe without its gates, in a folder with `data`."""
    file = folder / "recipe.toml"
    file.write_text(text)
    return recipe_graph(read_recipe(str(file), values), whole_model)


def run_bare(
    folder: Path,
    graph: Graph,
    *,
    stopped: Stopped = never,
    told: Callable[[Run, Progress], None] = lambda run, progress: None,
    keep_going: bool = False,
) -> Run:
    """Run a graph as it is, in the store beside the recipe; the run is returned as it ended."""
    recipe = read_recipe(str(folder / "recipe.toml"))
    store = Store(folder / "store")
    run = new_run(recipe, Order("recipe.toml"), graph, Foresight(store).look(graph))
    running = Running(store, run, lambda one: told(run, one), stopped)
    with only_run(running.store, f"{recipe.name}-{threading.get_ident()}"):
        run.name = f"{recipe.name}-{threading.get_ident()}"
        try:
            run_graph(graph, running, keep_going=keep_going)
        finally:
            running.note()
    return run
