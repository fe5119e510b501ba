"""Whether a model that Punie made may be used: what its gates said of these very weights."""

from pathlib import Path

from pydantic import ValidationError

from punie.models.provenance import read_provenance
from punie.training.gates.report import GateReport
from punie.training.provenance import model_hash, weight_hashes


def why_not_served(model: Path) -> str | None:
    """Say in a sentence why a model must not be served; None if nothing is against it.

    A model that Punie did not make is not judged. All weights are read, which takes a while for a
    large model.

    Raises `ModelUnavailable` if the model's provenance cannot be read.
    """
    provenance = read_provenance(model)
    if provenance is None:
        return None
    cure = f"run `punie gate serving {model}`"
    if provenance.weights != weight_hashes(model):
        return f"The weights in {model} are not those that were made there; make the model again."
    try:
        text = (model / "gate-serving.json").read_text(encoding="utf-8")
        report = GateReport.model_validate_json(text)
    except FileNotFoundError:
        return f"The model in {model} has not been through the serving gate; {cure}."
    except (OSError, ValidationError):
        return f"What the serving gate said of {model} cannot be read; {cure}."
    if report.subject_hash != model_hash(model):
        return f"The serving gate looked at another model than now lies in {model}; {cure}."
    if not report.passed or not provenance.gates.get("serving", False):
        found = report.failures[0].found if report.failures else "it saw nothing"
        return f"The serving gate did not let {model} pass: {found}"
    return None
