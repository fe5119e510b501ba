"""mlx-lm without transformers.

mlx-lm imports it for its own tokenizers, which nothing here uses, and that takes longer than all
the rest of a model's start. So the package's front door is left closed, and what loads weights
finds a stand-in for the tokenizers. Whoever asks for either of them gets the real one.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = "mlx_lm"
_TOKENIZERS = "mlx_lm.tokenizer_utils"


class _ClosedPackage(ModuleType):
    """A package whose modules can be imported; its own code runs when something of it is used."""

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__spec__ = spec
        self.__loader__ = spec.loader
        self.__file__ = spec.origin
        self.__path__ = spec.submodule_search_locations or []

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        if name.startswith("__") or self.__class__ is ModuleType or spec is None:
            raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert spec.loader is not None
        spec.loader.exec_module(self)
        return getattr(self, name)


class _Tokenizers(ModuleType):
    """What `mlx_lm.utils` takes of its tokenizers when it is imported."""

    class TokenizerWrapper:
        """Only in annotations."""

    @staticmethod
    def load(*arguments: Any, **options: Any) -> Any:
        """Load a tokenizer as mlx-lm does."""
        return importlib.import_module(_TOKENIZERS).load(*arguments, **options)


def lighten() -> None:
    """Make mlx-lm's modules importable without the package's own code, if it did not run yet."""
    spec = None if _PACKAGE in sys.modules else importlib.util.find_spec(_PACKAGE)
    if spec is not None:
        sys.modules[_PACKAGE] = _ClosedPackage(spec)
        # The package's own code does this, for where transformers is imported after all.
        os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"


def load_model(directory: Path, *, lazy: bool = False) -> tuple[Any, dict[str, Any]]:
    """Load weights as mlx-lm does; return the model and its configuration.

    With `lazy` the weights are read when they are first used. Raises whatever is wrong with the
    files. The first call imports mlx-lm, in half a second.
    """
    model, config = _utilities().load_model(directory, lazy=lazy)
    return model, config


def build_model(config: Mapping[str, Any]) -> Any:
    """Build a model from the content of its config.json, without weights.

    Its arrays have shapes and take no memory before they are evaluated, which gives them random
    numbers. Raises whatever is wrong with the configuration.
    """
    model_type = _utilities().MODEL_REMAPPING.get(config["model_type"], config["model_type"])
    family = importlib.import_module(f"{_PACKAGE}.models.{model_type}")
    return family.Model(family.ModelArgs.from_dict(dict(config)))


def _utilities() -> Any:
    """Import what mlx-lm loads weights with, without its tokenizers if they are not there yet."""
    stand_in = None if _TOKENIZERS in sys.modules else _Tokenizers(_TOKENIZERS)
    if stand_in is not None:
        sys.modules[_TOKENIZERS] = stand_in
    try:
        return importlib.import_module(f"{_PACKAGE}.utils")
    finally:
        if stand_in is not None:
            del sys.modules[_TOKENIZERS]
