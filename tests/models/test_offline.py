"""Nothing opens a network connection, except `punie models pull`."""

import subprocess
import sys
from pathlib import Path

from tests.models.tiny_model import build_model

_TURN = """
import sys

touched = []

def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        touched.append((event, arguments))

sys.addaudithook(note)

import anyio
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from punie.models.catalog import resolve_model
from punie.models.load import close_models, open_model

async def turn():
    model = await open_model(resolve_model(sys.argv[1]))
    history = [ModelRequest([UserPromptPart("hi")])]
    await model.request(history, {"max_tokens": 3}, ModelRequestParameters())
    await close_models()

anyio.run(turn)
print(touched)
import os
print(os.environ.get("HF_HUB_OFFLINE"))
from huggingface_hub.errors import OfflineModeIsEnabled
from mlx_lm import load
try:
    load("some-org/some-model")
except Exception as error:
    causes = [type(error).__name__]
    while error := error.__cause__ or error.__context__:
        causes.append(type(error).__name__)
    print(OfflineModeIsEnabled.__name__ in causes)
print(touched)
"""


def test_a_turn_touches_no_network_and_nothing_behind_it_can(tmp_path: Path) -> None:
    model = build_model(tmp_path / "model")
    run = subprocess.run(
        [sys.executable, "-c", _TURN, str(model)], capture_output=True, text=True, check=True
    )
    # The environment of commands is the user's: it does not forbid them the hub.
    assert run.stdout.splitlines() == ["[]", "None", "True", "[]"]
