"""Making a draft model for a target: small, with its tokens, taught by its answers and its logits.

Three things are made one after the other, each of which goes on where it was stopped: the target's
own answers to the prompts of a dataset (`own_answers`), a small model that learns them and the
target's logits, and the rate at which the target accepts what the model proposes (`acceptance`).
"""

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from tokenizers import Tokenizer

from punie.models.architecture import context_window, text_config
from punie.models.catalog import read_json_object
from punie.models.checking import check_model
from punie.training.data.dataset import open_dataset
from punie.training.distilling.own_answers import OwnAnswersOptions, own_answers
from punie.training.drafting import Acceptance, AcceptanceOptions, acceptance
from punie.training.errors import TrainingError
from punie.training.model_folder import resumable_folder
from punie.training.output import write_text
from punie.training.pretraining.run import PretrainOptions, check_size, pretrain
from punie.training.progress import Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash

ACCEPTANCE_FILE = "acceptance.json"


class DraftModelOptions(PretrainOptions):
    """Shape and recipe of a draft model, as `PretrainOptions` has them; a sixth of punie-tiny."""

    hidden: int = Field(128, ge=8)
    layers: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)
    key_value_heads: int = Field(1, ge=1)
    inner: int = Field(320, ge=8)
    tokens: int = Field(2048, ge=64)
    steps: int = Field(6000, ge=1)


class DraftOptions(BaseModel):
    """How a draft model is made.

    Attributes:
        model: its shape and how it is trained and taught; vocabulary and window are the target's.
        answers: how the target answers.
        measured: how what it accepts is measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: DraftModelOptions = DraftModelOptions()
    answers: OwnAnswersOptions = OwnAnswersOptions()
    measured: AcceptanceOptions = AcceptanceOptions()


def make_draft(
    options: DraftOptions,
    target: Path,
    dataset: Path,
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
    *,
    workers: int = 2,
) -> Acceptance:
    """Make a draft model for `target` in `out`; what it is worth is in its `acceptance.json` too.

    Args:
        options: how.
        target: the model folder that it drafts for.
        dataset: its part "train" is learned, "valid" measured; of another it is "test" if there.
        out: the new model folder.
        report: told of progress.
        stopped: asked now and then.
        workers: halves of a batch that are computed at once, 1 or 2; does not change the result.

    Raises:
        TrainingError: an input cannot be used, or `out` cannot be written.
        ModelUnavailable: the target's files cannot be read.
        Interrupted: `stopped()`; the same call goes on.
    """
    data = open_dataset(dataset)
    if "train" not in data.manifest.parts:
        raise TrainingError(
            f"{dataset} has no part 'train'; split it first with `punie dataset split`."
        )
    config = text_config(read_json_object(target / "config.json"))
    named = Tokenizer.from_file(str(target / "tokenizer.json")).get_vocab_size()
    if named != config["vocab_size"]:
        raise TrainingError(
            f"{target} has {config['vocab_size']:,} ids and its tokenizer {named:,}, so no model "
            "can be made from nothing for it here; take a small one of its family as draft model."
        )
    model = options.model.model_copy(
        update={"vocab": named, "window": min(options.model.window, context_window(config))}
    )
    made_from = {
        "draft": options.model_dump(mode="json"),
        "target": model_hash(target),
        "dataset": data.hash,
    }
    check_size(model)
    check_model(target)
    with resumable_folder(out, made_from) as folder:
        answers, targets, draft = (folder / name for name in ("answers", "targets", "model"))
        if not (folder / ACCEPTANCE_FILE).exists():
            if not answers.exists():
                own_answers(options.answers, target, dataset, answers, report, stopped)
            if not draft.exists():
                pretrain(
                    model,
                    answers,
                    draft,
                    report,
                    stopped,
                    tokenizer=target,
                    teacher=target,
                    targets=targets,
                    workers=workers,
                )
            found = acceptance(options.measured, target, draft, dataset, report, stopped)
            write_text(folder / ACCEPTANCE_FILE, found.model_dump_json(indent=2) + "\n")
        if draft.exists():
            for file in draft.iterdir():
                file.rename(folder / file.name)
            draft.rmdir()
        for made in (answers, targets):
            shutil.rmtree(made, ignore_errors=True)
    return Acceptance.model_validate_json((out / ACCEPTANCE_FILE).read_text(encoding="utf-8"))
