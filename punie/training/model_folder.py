"""Writing a model's folder from weights that may be bigger than the memory.

Weights are handed over unevaluated, as `mlx_lm` loads them lazily. They are evaluated one tensor
after the other and written shard by shard, so that a shard and one tensor's inputs are in memory.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from punie.models.memory import gigabytes
from punie.training.arrays import is_whole, save_arrays
from punie.training.errors import TrainingError
from punie.training.hashing import value_hash
from punie.training.output import output_folder
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet

SHARD_BYTES = 2 << 30
"""Bytes of tensors in one weight file; a larger tensor gets a file of its own."""

FORMAT_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
"""What a model reads and writes text by, copied byte for byte."""

_COPIED = (*FORMAT_FILES, "tokenizer.model", "*.tiktoken", "LICENSE*")
_STAMP = ".made-from"
_INDEX = "model.safetensors.index.json"
_SLACK = 64 << 20
"""Bytes for everything beside the weights: tokenizer, configuration, reports."""


@contextmanager
def resumable_folder(out: Path, made_from: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the folder that becomes `out`, with what an earlier call with the same inputs left.

    What a call with other inputs or settings left there is removed first.

    Raises:
        TrainingError: `out` exists, or there is no room or no permission to write.
    """
    wanted = value_hash(dict(made_from))
    with output_folder(out, keep_unfinished=True) as folder:
        stamp = folder / _STAMP
        if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
            for left in folder.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            stamp.write_text(wanted, encoding="utf-8")
        yield folder
        stamp.unlink()


def require_room(out: Path, needed: int) -> None:
    """Refuse a folder on a disk that has not `needed` bytes left.

    What the unfinished folder of an earlier call holds already is not needed again.
    """
    place = next(parent for parent in out.absolute().parents if parent.is_dir())
    unfinished = out.with_name(f".{out.name}.unfinished")
    there = sum(file.stat().st_size for file in unfinished.glob("*.safetensors"))
    free = shutil.disk_usage(place).free
    if needed + _SLACK - there > free:
        raise TrainingError(
            f"{out} would take about {gigabytes(needed)} and {gigabytes(free)} are free on that "
            "disk; make room or name a folder on another one."
        )


def tensors_of(model: Any) -> dict[str, mx.array]:
    """Return the weights of a loaded model or layer by name, unevaluated if they are."""
    return dict(tree_flatten(model.parameters()))


def usual_type(tensors: Mapping[str, mx.array]) -> mx.Dtype:
    """Return the floating type that most weights have, scales of packed ones included."""
    sizes: Counter[mx.Dtype] = Counter()
    for tensor in tensors.values():
        if mx.issubdtype(tensor.dtype, mx.floating):
            sizes[tensor.dtype] += tensor.size
    return sizes.most_common(1)[0][0]


def copy_format(source: Path, folder: Path) -> None:
    """Copy tokenizer, template, generation settings and licence of the model in `source`."""
    for pattern in _COPIED:
        for file in source.glob(pattern):
            shutil.copyfile(file, folder / file.name)


def write_config(source: Path, folder: Path, config: Mapping[str, Any] | None) -> None:
    """Write `config` as config.json, or copy that of `source` as it is."""
    if config is None:
        shutil.copyfile(source / "config.json", folder / "config.json")
        return
    text = json.dumps(dict(config), indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")


def write_weights(
    folder: Path,
    tensors: dict[str, mx.array],
    report: Reporter = quiet,
    stopped: Stopped = never,
    *,
    shard_bytes: int = SHARD_BYTES,
) -> int:
    """Write all tensors in shards with an index and empty `tensors`; return their bytes.

    Shards that are there whole are kept: the folder has to be one for the same weights
    (`resumable_folder`).

    Raises:
        Interrupted: it was asked to stop; the shards that are written stay.
        TrainingError: a shard cannot be written.
    """
    total = sum(tensor.nbytes for tensor in tensors.values())
    shards = _shards(tensors, shard_bytes)
    places: dict[str, str] = {}
    done = 0
    for number, names in enumerate(shards, 1):
        file = folder / _file_name(number, len(shards))
        places.update(dict.fromkeys(names, file.name))
        shard = {name: tensors.pop(name) for name in names}
        done += sum(tensor.nbytes for tensor in shard.values())
        if not is_whole(file, shard):
            for tensor in shard.values():
                if stopped():
                    raise Interrupted(
                        f"Stopped after {number - 1} of {len(shards)} weight files; the same "
                        "command goes on from there."
                    )
                mx.eval(tensor)
            save_arrays(file, shard, {"format": "mlx"})
        shard.clear()
        mx.clear_cache()
        report(Progress("writing weights", done / 1e6, total / 1e6, "MB"))
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    (folder / _INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return total


def is_written(folder: Path) -> bool:
    """Tell whether `write_weights` has ended in `folder`: it writes the index last."""
    return (folder / _INDEX).is_file()


def _shards(tensors: Mapping[str, mx.array], shard_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = []
    size = 0
    for name, tensor in tensors.items():
        if not shards or size + tensor.nbytes > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor.nbytes
    return shards


def _file_name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"
