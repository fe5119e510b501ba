"""A model's weights as their files describe them, read without loading anything.

A safetensors file is eight bytes with the length of a JSON header, the header, which gives each
tensor's type, shape and place, and the tensors (github.com/huggingface/safetensors, "Format").
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from punie.models.catalog import PULL_AGAIN, ModelUnavailable, read_json_object

_LONGEST_HEADER = 100_000_000
"""Bytes; the format's own bound."""
_BITS = {
    "BOOL": 8,
    **{f"{kind}{bits}": bits for kind in "UI" for bits in (8, 16, 32, 64)},
    "F16": 16,
    "BF16": 16,
    "F32": 32,
    "F64": 64,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "C64": 64,
}
_PACKED = "U32"


@dataclass(frozen=True)
class Tensor:
    """One tensor: its type as safetensors names it, its shape, the bytes it takes."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True)
class Weights:
    """All tensors of a model by name."""

    tensors: Mapping[str, Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def parameters(self, bits: int | None) -> int:
        """Return how many numbers the model has; packed ones are counted at `bits` each.

        A layer packed with other bits than the rest is told by its scales where it has them.
        """
        total = 0
        for name, tensor in self.tensors.items():
            stem = name.removesuffix(".weight")
            if name.endswith((".scales", ".biases")) and f"{name.rpartition('.')[0]}.weight" in (
                self.tensors
            ):
                continue
            elements = _elements(tensor.shape)
            if tensor.dtype == _PACKED and f"{stem}.scales" in self.tensors:
                elements = elements * 32 // (bits or 4)
            total += elements
        return total


def read_weights(directory: Path) -> Weights:
    """Read the headers of all weight files and check them against files and index.

    Raises `ModelUnavailable` for a file that is cut off or no safetensors file, for one that the
    index names and is not there, and for tensors that no file holds.
    """
    files = sorted(directory.glob("model*.safetensors"))
    if not files:
        raise ModelUnavailable(
            f"The model in {directory} has no weights (model*.safetensors); {PULL_AGAIN}."
        )
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors.update(read_header(file))
    _check_index(directory, tensors)
    return Weights(tensors)


def read_header(path: Path) -> dict[str, Tensor]:
    """Return the tensors of one safetensors file; raise `ModelUnavailable` if it is not whole."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else _LONGEST_HEADER + 1
            if length > min(size, _LONGEST_HEADER):
                raise _broken(path, "it is cut off or no safetensors file")
            header = json.loads(file.read(length))
    except OSError as error:
        raise _broken(path, error.strerror or "it cannot be opened") from error
    except ValueError as error:
        raise _broken(path, "its header is damaged") from error
    if not isinstance(header, dict):
        raise _broken(path, "its header is damaged")
    header.pop("__metadata__", None)
    tensors = {}
    end = 0
    for name, entry in header.items():
        tensor, last = _tensor(path, name, entry)
        tensors[name] = tensor
        end = max(end, last)
    if size < 8 + length + end:
        raise _broken(path, f"it has {size:,} of {8 + length + end:,} bytes")
    return tensors


def _tensor(path: Path, name: str, entry: Any) -> tuple[Tensor, int]:
    try:
        shape = tuple(int(side) for side in entry["shape"])
        first, last = entry["data_offsets"]
        bits = _BITS.get(entry["dtype"])
        tensor = Tensor(str(entry["dtype"]), shape, last - first)
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, f"its header is damaged at {name}") from error
    if first < 0 or last < first or (bits and tensor.nbytes != _elements(shape) * bits // 8):
        raise _broken(path, f"the size of {name} does not fit its shape")
    return tensor, last


def _elements(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def _check_index(directory: Path, tensors: Mapping[str, Tensor]) -> None:
    path = directory / "model.safetensors.index.json"
    if not path.is_file():
        return
    named = read_json_object(path).get("weight_map")
    if not isinstance(named, dict):
        raise ModelUnavailable(f"{path} has no weight_map; {PULL_AGAIN}.")
    absent = sorted({str(file) for file in named.values() if not (directory / str(file)).is_file()})
    if absent:
        raise ModelUnavailable(
            f"The model in {directory} is incomplete: {absent[0]} is missing"
            f"{f' and {len(absent) - 1} more files' if len(absent) > 1 else ''}; {PULL_AGAIN}."
        )
    lost = [name for name in named if name not in tensors]
    if lost:
        raise ModelUnavailable(
            f"The model in {directory} is incomplete: no file holds {lost[0]}"
            f"{f' and {len(lost) - 1} more tensors' if len(lost) > 1 else ''}; {PULL_AGAIN}."
        )


def _broken(path: Path, reason: str) -> ModelUnavailable:
    return ModelUnavailable(f"{path} cannot be used: {reason}; {PULL_AGAIN}.")
