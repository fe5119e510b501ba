"""What tests of training share."""

from collections.abc import Iterator

import mlx.core as mx
import pytest


@pytest.fixture(scope="module")
def uncompiled() -> Iterator[None]:
    """Let MLX compile no kernels, so that tests of small models do not wait for a C++ compiler."""
    mx.disable_compile()
    yield
    mx.enable_compile()
