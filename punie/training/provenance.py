"""Writes where a model comes from, and which gates it passed, into its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from punie.models.provenance import FILE_NAME, Provenance, read_provenance
from punie.training.gates.report import GateReport
from punie.training.hashing import file_hash, value_hash
from punie.training.output import write_text

_TOKEN_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_FORMAT_FILES = ("tokenizer.json", "chat_template.jinja", "config.json")


def weight_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each weight file of a model or an adapter, by name."""
    return {file.name: file_hash(file) for file in sorted(folder.glob("*.safetensors"))}


def model_hash(folder: Path) -> str:
    """Return one hash of all that decides what a model answers: weights and its format's files."""
    kept = {name: file_hash(folder / name) for name in _FORMAT_FILES if (folder / name).is_file()}
    return value_hash(weight_hashes(folder) | kept)


def format_hash(folder: Path) -> str:
    """Return one hash of what decides a model's tokens: its tokenizer and its chat template."""
    return value_hash(
        {name: file_hash(folder / name) for name in _TOKEN_FILES if (folder / name).is_file()}
    )


def write_provenance(
    folder: Path, made_by: str, parents: Mapping[str, str], settings: Mapping[str, Any]
) -> Provenance:
    """Write where the model in `folder` comes from, as the last file of a new model.

    Raises:
        TrainingError: it cannot be written.
    """
    provenance = Provenance(
        made_by=made_by,
        parents=dict(parents),
        settings=dict(settings),
        weights=weight_hashes(folder),
    )
    _write(folder, provenance)
    return provenance


def record_gate(folder: Path, report: GateReport) -> None:
    """Keep a gate's report in the model's folder, and its verdict in the model's provenance.

    A model that Punie did not make keeps only the report. Raises `TrainingError` if it cannot be
    written, and `ModelUnavailable` if the provenance cannot be read.
    """
    write_text(folder / f"gate-{report.gate}.json", report.model_dump_json(indent=2) + "\n")
    provenance = read_provenance(folder)
    if provenance is not None:
        gates = provenance.gates | {report.gate: report.passed}
        _write(folder, provenance.model_copy(update={"gates": gates}))


def _write(folder: Path, provenance: Provenance) -> None:
    write_text(folder / FILE_NAME, provenance.model_dump_json(indent=2) + "\n")
