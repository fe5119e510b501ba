"""A process that opens a model, answers one question and tells when its first token is there.

It is started as `python -m punie.models.mlx.bench.first_answer DIRECTORY QUESTION` and opens the
model as every session does.
"""

import sys

import anyio

from punie.models.catalog import resolve_model
from punie.models.load import close_models, open_model

READY = "first token"
"""The line that it writes when the token is there."""


async def _answer(directory: str, question: str) -> None:
    model = await open_model(resolve_model(directory))
    # Imported while loading; from here on they cost nothing.
    from pydantic_ai.messages import ModelRequest, UserPromptPart
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.settings import ModelSettings

    settings = ModelSettings(max_tokens=1, temperature=0.0)
    prompt = ModelRequest(parts=[UserPromptPart(question)])
    await model.request([prompt], settings, ModelRequestParameters())
    print(READY, flush=True)
    await close_models()


if __name__ == "__main__":
    anyio.run(_answer, sys.argv[1], sys.argv[2])
