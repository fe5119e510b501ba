"""The same weights with the template of another format of tool calls: for the study of formats."""

import json
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from punie.models.catalog import read_json_object
from punie.training.output import output_folder
from punie.training.pretraining.tiny_architecture import Calls, chat_template
from punie.training.pretraining.tokenizer import TOOL_PARSERS
from punie.training.provenance import model_hash, write_provenance


class RewriteOptions(BaseModel):
    """Which format of tool calls the template then has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: Calls


def rewrite_template(options: RewriteOptions, model: Path, out: Path) -> Path:
    """Copy a model that was made from nothing, with another template; return `out`.

    Raises:
        TrainingError: `out` exists already or cannot be written.
    """
    with output_folder(out) as folder:
        for file in sorted(model.iterdir()):
            if file.is_file() and not file.name.startswith("gate-"):
                shutil.copyfile(file, folder / file.name)
        (folder / "chat_template.jinja").write_text(chat_template(options.calls), encoding="utf-8")
        settings = folder / "tokenizer_config.json"
        changed = read_json_object(settings) | {"tool_parser_type": TOOL_PARSERS[options.calls]}
        settings.write_text(json.dumps(changed, indent=2) + "\n", encoding="utf-8")
        parents = {"model": model_hash(model)}
        write_provenance(folder, "rewrite-template", parents, options.model_dump())
    return out
