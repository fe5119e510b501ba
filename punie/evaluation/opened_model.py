"""The model of a run, which is opened again after its engine has failed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from punie.evaluation.errors import EvaluationError
from punie.models.catalog import ModelChoice, ModelUnavailable, resolve_model
from punie.models.load import close_models, open_model
from punie.models.options import EngineOptions
from punie.models.streaming import StreamingModel


class OpenedModel:
    """A model that is there until it fails; `choice` tells what it is.

    One that the caller opened is the caller's: it is neither closed nor opened again.
    """

    def __init__(
        self, choice: ModelChoice, model: StreamingModel, options: EngineOptions | None
    ) -> None:
        self.choice = choice
        self.now = model
        self._options = options
        self._lock = anyio.Lock()

    async def again(self, failed: StreamingModel) -> bool:
        """Open the model anew, unless that was done since it failed; tell whether it is there.

        Raises:
            EvaluationError: it cannot be opened any more.
        """
        async with self._lock:
            if self.now is not failed:
                return True
            if self._options is None:
                return False
            await close_models()
            self.now = await _open(self.choice, self._options)
            return True


def resolved(model: StreamingModel | str) -> StreamingModel | ModelChoice:
    """Return what a reference stands for; raises `EvaluationError` if there is no such model."""
    if isinstance(model, StreamingModel):
        return model
    try:
        return resolve_model(model)
    except ModelUnavailable as error:
        raise EvaluationError(str(error)) from error


@asynccontextmanager
async def opened(
    model: StreamingModel | ModelChoice, options: EngineOptions
) -> AsyncIterator[OpenedModel]:
    """Open a model for a run, and close all models in the end; one that is open is taken as it is.

    Raises:
        EvaluationError: it or its draft model cannot be opened.
    """
    if isinstance(model, StreamingModel):
        name = model.model_name
        yield OpenedModel(ModelChoice(name, name, "", "scripted", None), model, None)
        return
    try:
        yield OpenedModel(model, await _open(model, options), options)
    finally:
        with anyio.CancelScope(shield=True):
            await close_models()


async def _open(choice: ModelChoice, options: EngineOptions) -> StreamingModel:
    try:
        found = await open_model(choice, options=options)
    except ModelUnavailable as error:
        raise EvaluationError(str(error)) from error
    if options.draft_model is not None and found.warnings:
        raise EvaluationError(found.warnings[0])
    return found
