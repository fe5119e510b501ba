"""Where a model that Punie made comes from, and which gates it passed: `punie-model.json`.

The file lies in the model's folder. A model without it comes from elsewhere. Light to import.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from punie.models.catalog import ModelUnavailable

FILE_NAME = "punie-model.json"


class Provenance(BaseModel):
    """Where a model comes from.

    Attributes:
        made_by: the step that wrote the folder: "pretrain", "train", "fuse", "quantize", "distill".
        parents: hashes of what it was made from, by role: "model", "adapter", "dataset", "teacher".
        settings: the step's settings, as plain data.
        weights: SHA-256 of each weight file by name, so that changed weights are noticed.
        gates: by the gate's name, whether it passed on these weights.
    """

    model_config = ConfigDict(frozen=True)

    made_by: str
    parents: dict[str, str] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    weights: dict[str, str] = Field(default_factory=dict)
    gates: dict[str, bool] = Field(default_factory=dict)


def read_provenance(folder: Path) -> Provenance | None:
    """Return where the model in `folder` comes from; None if Punie did not make it.

    Raises `ModelUnavailable` if the file is there and cannot be read.
    """
    file = folder / FILE_NAME
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelUnavailable(f"{file} cannot be read ({error}); make the model again.") from error
    try:
        return Provenance.model_validate_json(text)
    except ValidationError as error:
        raise ModelUnavailable(
            f"{file} is not what Punie wrote ({error.errors()[0]['msg']}); make the model again."
        ) from error
