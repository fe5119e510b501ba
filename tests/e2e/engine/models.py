"""The models of these tests: small, of the architecture and the habits of published ones."""

import shutil
from pathlib import Path

import mlx.core as mx
from tokenizers import Tokenizer

from tests.models.families import Family, Size, TemplateName, build_family

NEVER_ENDING = ("<|im_end|>", "<|endoftext|>", "</think>", "<tool_call>", "</tool_call>")
"""Without these a model goes on until its tokens are used up, and calls nothing."""

_SMALL = Size(hidden=32, heads=1, layers=2)


class Models:
    """Model directories under `root`, each built when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def random(
        self,
        family: Family = "qwen3",
        template: TemplateName = "append",
        *,
        never: tuple[str, ...] = NEVER_ENDING,
        size: Size = _SMALL,
        window: int = 32_768,
        seed: int = 0,
    ) -> Path:
        """A model that writes noise, without the control tokens in `never` at temperature 0."""
        marks = (family, template, len(never), size.hidden, window, seed)
        directory = self._root / "-".join(map(str, marks))
        if not (directory / "model.safetensors").exists():
            build_family(directory, family, template, size=size, window=window, seed=seed)
            _mute(directory, never)
        return directory

    def copy(self, model: Path, name: str) -> Path:
        """A copy of a model, to be spoiled."""
        target = self._root / name
        shutil.copytree(model, target)
        return target


def _mute(directory: Path, tokens: tuple[str, ...]) -> None:
    """Give tokens the logit 0, which in sharp noise is never the highest."""
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    file = str(directory / "model.safetensors")
    loaded = mx.load(file)
    assert isinstance(loaded, dict)
    name = next(name for name in loaded if name.endswith("embed_tokens.weight"))
    rows = mx.arange(len(loaded[name]))[:, None]
    for token in tokens:
        loaded[name] = mx.where(rows == tokenizer.token_to_id(token), 0.0, loaded[name])
    mx.eval(loaded)
    mx.save_safetensors(file, loaded)
