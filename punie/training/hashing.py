"""Hashes that tell files, folders and settings apart by their content alone."""

import hashlib
import json
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20


def file_hash(file: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def folder_hash(folder: Path, patterns: tuple[str, ...] = ("**/*",)) -> str:
    """Return one hash of the names and contents of a folder's files, in hex.

    Files whose name begins with a dot, and what is in such folders, do not count.
    """
    files = {
        file.relative_to(folder).as_posix(): file
        for pattern in patterns
        for file in folder.glob(pattern)
        if file.is_file()
    }
    return value_hash(
        {
            name: file_hash(file)
            for name, file in sorted(files.items())
            if not any(part.startswith(".") for part in Path(name).parts)
        }
    )


def value_hash(value: Any) -> str:
    """Return the SHA-256 of plain data (what JSON can hold), in hex; key order does not count."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
