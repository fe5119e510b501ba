"""Joining MLX's ring, and the part of a model that one machine of it holds."""

import faulthandler
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from punie.models.mlx.library import load_model

_JOINING_SECONDS = 60.0
_RANK, _HOSTS = "MLX_RANK", "MLX_HOSTFILE"


def join_ring(ring: Sequence[Sequence[str]], rank: int) -> mx.distributed.Group:
    """Connect with the neighbours; all machines do so at the same time.

    MLX takes its place in the ring from the environment, which programs that are started later
    must not inherit. It waits with the interpreter's lock held, so that nothing else in the process
    could give up: after a minute the process ends.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(ring, file)
        file.flush()
        os.environ[_RANK], os.environ[_HOSTS] = str(rank), file.name
        faulthandler.dump_traceback_later(_JOINING_SECONDS, exit=True, file=2)
        try:
            return mx.distributed.init(strict=True, backend="ring")
        finally:
            faulthandler.cancel_dump_traceback_later()
            del os.environ[_RANK], os.environ[_HOSTS]


def load_part(directory: Path, group: mx.distributed.Group) -> tuple[Any, dict[str, Any]]:
    """Load this machine's part of every layer; return the model and its configuration."""
    # Lazily: what belongs to the others is never read.
    model, config = load_model(directory, lazy=True)
    model.shard(group)
    mx.eval(model.parameters())
    return model, config


def run_layers(model: Any, tokens: mx.array, layers: list[Any]) -> mx.array:
    """Run the layers on tokens (1, N) and compute all of it; return the hidden states.

    Every machine computes exactly this, so that their sums meet in the same order.
    """
    hidden: mx.array = model.model(tokens, layers)
    mx.eval(hidden, [layer.state for layer in layers])
    return hidden
