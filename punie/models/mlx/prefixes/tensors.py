"""States of a cache as named tensors and JSON, and back, without a copy on the way out."""

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from punie.models.mlx.prefixes.file import DamagedFileError, HostTensor
from punie.models.mlx.prefixes.layers import (
    Layers,
    LayerState,
    UnknownLayerError,
    first_tokens,
    read_layer,
)

_DTYPES = {
    "BF16": mx.bfloat16,
    "F16": mx.float16,
    "F32": mx.float32,
    "I32": mx.int32,
    "U32": mx.uint32,
    "U8": mx.uint8,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class StateWriter:
    """Turns states into JSON and tensors in host memory.

    The growing tensors of the first state serve the others too, which are beginnings of it.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, mx.array] = {}
        self._growing: list[str] = []

    def layers(self, layers: Layers, length: int) -> list[dict[str, Any]]:
        """Describe one state; raise `UnknownLayerError` for layers that cannot be saved."""
        is_first = not self._arrays
        growing = iter(self._growing)
        held = [first_tokens(read_layer(layer), length, length) for layer in layers]
        return [self._state(state, is_first, growing) for state in held]

    def _state(self, state: LayerState, is_first: bool, growing: Iterator[str]) -> dict[str, Any]:
        names: list[str | None] = []
        for array in state.arrays:
            if array is None:
                names.append(None)
            elif state.grows and not is_first:
                names.append(next(growing))
            else:
                name = f"tensor.{len(self._arrays)}"
                self._arrays[name] = array
                names.append(name)
                if state.grows:
                    self._growing.append(name)
        return {
            "kind": state.kind,
            "numbers": state.numbers,
            "arrays": names,
            "parts": [self._state(part, is_first, growing) for part in state.parts],
        }

    def tensors(self) -> dict[str, HostTensor]:
        """Return all tensors, evaluated, without copying them."""
        for array in self._arrays.values():
            if array.dtype not in _NAMES:
                raise UnknownLayerError(f"Tensors of the type {array.dtype} cannot be saved.")
        views = {name: array.view(mx.uint8) for name, array in self._arrays.items()}
        mx.eval(list(views.values()))
        return {
            name: HostTensor(_NAMES[array.dtype], array.shape, _host_view(views[name]))
            for name, array in self._arrays.items()
        }


def _host_view(array: mx.array) -> NDArray[np.uint8]:
    data: NDArray[np.uint8] = np.asarray(array)
    return data


class StateReader:
    """Turns what a `StateWriter` described into layers again."""

    def __init__(self, tensor: Callable[[str], HostTensor]) -> None:
        self._tensor = tensor
        self._arrays: dict[str, mx.array] = {}

    def state(self, described: dict[str, Any]) -> LayerState:
        """Return what one layer holds, evaluated."""
        numbers = {str(name): int(value) for name, value in described["numbers"].items()}
        parts = tuple(self.state(part) for part in described["parts"])
        arrays = tuple(None if name is None else self._array(name) for name in described["arrays"])
        state = LayerState(described["kind"], numbers, arrays, parts)
        if state.parts:
            return state
        # Handles of its own; a checkpoint's tensors are beginnings of those of the last state.
        held = numbers.get("offset", 0)
        cut = first_tokens(state, held, held)
        mx.eval(list(cut.tensors()))
        return cut

    def _array(self, name: str) -> mx.array:
        if name not in self._arrays:
            tensor = self._tensor(name)
            array = mx.array(tensor.data).view(_DTYPES[tensor.dtype])
            if array.shape != tensor.shape:
                raise DamagedFileError("a tensor of another shape")
            mx.eval(array)
            self._arrays[name] = array
        return self._arrays[name]
