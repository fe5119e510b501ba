"""A file of tensors that says itself whether it is whole: safetensors with checksums.

The format is safetensors' own (github.com/huggingface/safetensors, "Format"): eight bytes with
the length of a JSON header, the header, the tensors. The header's metadata holds a CRC-32 of each
tensor, and the file's name is a hash of the header, so no byte can change unnoticed.

Nothing here calls MLX: tensors are plain bytes, also those of types that NumPy does not have.
Without tensors it is light: whoever only forgets files does not wait for NumPy.
"""

import hashlib
import json
import os
import secrets
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHUNK = 4 << 20
_LONGEST_HEADER = 100_000_000
"""Bytes; the format's own bound."""

SUFFIX = ".safetensors"
TEMPORARY_SUFFIX = ".tmp"


class DamagedFileError(ValueError):
    """The file is not what its name says, or ends too early."""


class WriteStoppedError(Exception):
    """The write was given up because nobody wants it any more."""


@dataclass(frozen=True)
class HostTensor:
    """A tensor in memory: `dtype` as safetensors names it, and its bytes.

    `data` has the tensor's dimensions, the last one in bytes; rows may lie apart.
    """

    dtype: str
    shape: tuple[int, ...]
    data: "NDArray[np.uint8]"


@dataclass(frozen=True)
class Header:
    """What a file says about itself; `places` are first and last byte of each tensor's data."""

    about: dict[str, Any]
    dtypes: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    places: dict[str, tuple[int, int]]
    checksums: dict[str, int]
    data_start: int


def _pieces(tensor: HostTensor) -> Iterator[memoryview]:
    """Yield the bytes in order, a few megabytes at a time, copying only what is not in a row."""
    import numpy as np

    data = tensor.data
    if not data.size:
        return
    for index in np.ndindex(data.shape[:-2]):
        flat = np.ascontiguousarray(data[index]).reshape(-1).data
        for start in range(0, len(flat), _CHUNK):
            yield flat[start : start + _CHUNK]


def _checksum(tensor: HostTensor, stop: Callable[[], bool]) -> int:
    checksum = 0
    for piece in _pieces(tensor):
        if stop():
            raise WriteStoppedError
        checksum = zlib.crc32(piece, checksum)
    return checksum


def encode_header(
    tensors: Mapping[str, HostTensor], about: Mapping[str, Any], stop: Callable[[], bool]
) -> bytes:
    """Return the first bytes of the file, with the checksums of all tensors.

    `about` is any JSON object. Raises `WriteStoppedError` once `stop` says so.
    """
    checksums = {name: _checksum(tensor, stop) for name, tensor in tensors.items()}
    content: dict[str, Any] = {
        "__metadata__": {"about": json.dumps(about), "crc32": json.dumps(checksums)}
    }
    position = 0
    for name, tensor in tensors.items():
        end = position + tensor.data.nbytes
        content[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def file_name(header: bytes) -> str:
    """Return the only name under which a file with this header is believed."""
    return hashlib.blake2b(header, digest_size=16).hexdigest() + SUFFIX


def write_file(
    folder: Path, header: bytes, tensors: Mapping[str, HostTensor], stop: Callable[[], bool]
) -> Path:
    """Write a file in one step, readable by its owner only; return where.

    Raises `OSError`, or `WriteStoppedError` once `stop` says so; then there is no file.
    """
    temporary = folder / f"{os.getpid()}-{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    target = folder / file_name(header)
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            _write_all(file, memoryview(header))
            for tensor in tensors.values():
                for piece in _pieces(tensor):
                    if stop():
                        raise WriteStoppedError
                    _write_all(file, piece)
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with suppress(OSError):  # not every file system can
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
    return target


def _write_all(file: Any, piece: memoryview) -> None:
    while piece:
        piece = piece[file.write(piece) :]


def read_header(file: BinaryIO, name: str) -> Header:
    """Read the header of the file `name`; raise `DamagedFileError` or `OSError`."""
    start = file.read(8)
    if len(start) < 8:
        raise DamagedFileError("too short")
    (length,) = struct.unpack("<Q", start)
    if length > _LONGEST_HEADER:
        raise DamagedFileError("no header")
    text = file.read(length)
    if file_name(start + text) != name:
        raise DamagedFileError("another header than its name says")
    try:
        content = json.loads(text)
        metadata = content.pop("__metadata__")
        return Header(
            about=json.loads(metadata["about"]),
            dtypes={name: str(entry["dtype"]) for name, entry in content.items()},
            shapes={name: tuple(entry["shape"]) for name, entry in content.items()},
            places={name: tuple(entry["data_offsets"]) for name, entry in content.items()},
            checksums=json.loads(metadata["crc32"]),
            data_start=8 + length,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFileError("a header of another kind") from error


def read_tensor(file: BinaryIO, header: Header, name: str) -> HostTensor:
    """Read one tensor and check it; raise `DamagedFileError` or `OSError`."""
    import numpy as np

    try:
        shape, (start, end) = header.shapes[name], header.places[name]
        expected = header.checksums[name]
    except KeyError as error:
        raise DamagedFileError("a tensor is missing") from error
    if os.fstat(file.fileno()).st_size < header.data_start + end:
        raise DamagedFileError("too short")
    data = np.empty(end - start, np.uint8)
    file.seek(header.data_start + start)
    view = data.data
    checksum = 0
    while view:
        count = file.readinto(view[:_CHUNK])  # type: ignore[attr-defined]
        if not count:
            raise DamagedFileError("too short")
        checksum = zlib.crc32(view[:count], checksum)
        view = view[count:]
    if checksum != expected:
        raise DamagedFileError("changed content")
    try:
        return HostTensor(header.dtypes[name], shape, data.reshape(*shape[:-1], -1))
    except ValueError as error:
        raise DamagedFileError("a tensor of another shape") from error


def forget_saved(directory: Path, owner: str) -> None:
    """Remove the files of all models under `directory` that a session's own text is in.

    Raises nothing: what cannot be read is left to whoever opens it next.
    """
    for path in directory.glob(f"*/*{SUFFIX}"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            with path.open("rb") as file:
                about = read_header(file, path.name).about
            if about.get("owner") == owner:
                path.unlink()
