"""Weights as their files describe them, and files that cannot be used."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model, save_config

from punie.models.catalog import ModelUnavailable, weight_bytes
from punie.models.checking import check_model
from punie.models.traits import read_traits
from punie.models.weights import read_header, read_weights
from tests.models.families import FAMILIES, Family, FamilyDirectories
from tests.models.tiny_model import save_weights


@pytest.fixture
def whole(family_directories: FamilyDirectories, tmp_path: Path) -> Path:
    """Return a copy of a whole model to spoil."""
    return Path(shutil.copytree(family_directories.own("qwen3"), tmp_path / "model"))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_whole_and_counted(
    family_directories: FamilyDirectories, family: Family
) -> None:
    directory = family_directories.own(family)
    model, _ = load_model(directory)
    parameters: list[tuple[str, Any]] = tree_flatten(model.parameters())  # type: ignore[assignment]
    weights = check_model(directory)
    assert weights.nbytes == sum(array.nbytes for _, array in parameters)
    assert weights.parameters(None) == sum(array.size for _, array in parameters)
    assert 0 <= weight_bytes(directory) - weights.nbytes < 100_000


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_packed_weights_are_counted_unpacked(whole: Path, bits: int) -> None:
    before = read_traits(whole).parameters
    model, config = load_model(whole)
    nn.quantize(model, group_size=32, bits=bits)  # type: ignore[attr-defined]
    save_weights(whole, model)
    save_config(config | {"quantization": {"group_size": 32, "bits": bits}}, whole / "config.json")
    traits = read_traits(whole)
    assert traits.parameters == before
    assert traits.quantization is not None
    assert (traits.quantization.bits, traits.quantization.group_size) == (bits, 32)
    check_model(whole)


def change(directory: Path, **values: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def cut(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def scramble(directory: Path) -> None:
    path = directory / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[8:40] = b"\xff" * 32
    path.write_bytes(content)


def index(directory: Path, weight_map: dict[str, str]) -> None:
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def drop_a_layer(directory: Path) -> None:
    path = str(directory / "model.safetensors")
    arrays: dict[str, mx.array] = mx.load(path)  # type: ignore[assignment]
    mx.eval(arrays)
    mx.save_safetensors(path, {n: a for n, a in arrays.items() if "layers.1." not in n})


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (cut, r"model\.safetensors cannot be used: it has [\d,]+ of [\d,]+ bytes; pull"),
    "emptied": (lambda d: (d / "model.safetensors").write_bytes(b""), "cut off or no safetensors"),
    "other content": (
        lambda d: (d / "model.safetensors").write_bytes(b"<html>Not found</html>"),
        "cut off or no safetensors",
    ),
    "scrambled": (scramble, "its header is damaged"),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "has no weights"),
    "shard missing": (
        lambda d: index(d, {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}),
        r"incomplete: model-00002-of-00002\.safetensors is missing; pull",
    ),
    "tensor missing": (
        lambda d: index(d, {"lm_head.weight": "model.safetensors", "x": "model.safetensors"}),
        r"no file holds lm_head\.weight and 1 more tensors",
    ),
    "broken index": (lambda d: index(d, []), "has no weight_map"),  # type: ignore[arg-type]
    "other vocabulary": (lambda d: change(d, vocab_size=999), "not those of its config.json"),
    "other width": (lambda d: change(d, hidden_size=32), "64 numbers wide and not 32"),
    "layer missing": (drop_a_layer, "1 of 2 layers"),
    "unknown architecture": (lambda d: change(d, model_type="qwen4_exp"), "'qwen4_exp'"),
    "no architecture": (lambda d: change(d, model_type=None), "of no known kind"),
    "own code": (lambda d: change(d, model_file="x.py"), "program code of its own"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_one_sentence_before_the_load(whole: Path, fault: str) -> None:
    spoil, message = FAULTS[fault]
    check_model(whole)
    spoil(whole)
    with pytest.raises(ModelUnavailable, match=message) as caught:
        check_model(whole)
    sentence = str(caught.value)
    assert str(whole) in sentence
    assert ";" in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


@given(st.binary(max_size=200))
def test_whatever_a_file_holds_is_never_a_crash(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(content)
    try:
        tensors = read_header(path)
    except ModelUnavailable:
        return
    assert tensors == {}


_entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "U32", "NEW", 3]),
        "shape": st.lists(st.integers(-2, 9), max_size=3) | st.integers() | st.text(max_size=2),
        "data_offsets": st.lists(st.integers(-9, 99), max_size=3) | st.none() | st.text(max_size=2),
    },
)


@given(st.dictionaries(st.text(max_size=4), _entries | st.integers(), max_size=3) | st.integers())
def test_whatever_a_header_says_is_never_a_crash(tmp_path_factory: Any, header: Any) -> None:
    text = json.dumps(header).encode()
    path = tmp_path_factory.getbasetemp() / "header.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(40))
    try:
        tensors = read_header(path)
    except ModelUnavailable:
        return
    assert all(tensor.nbytes >= 0 for tensor in tensors.values())


def test_a_kind_of_number_that_is_new_is_taken_as_it_is(tmp_path: Path) -> None:
    header = json.dumps(
        {"a": {"dtype": "F6", "shape": [4], "data_offsets": [0, 3]}, "__metadata__": {"x": "y"}}
    ).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"abc")
    assert read_weights(tmp_path).nbytes == 3
