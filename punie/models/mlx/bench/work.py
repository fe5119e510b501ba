"""The work that a model is given: a small project, questions about it, and edits of it.

They are what the bundled model was trained for, in words that it knows.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from punie.models.mlx.bench.answers import Answer, ask
from punie.models.mlx.bench.suite import RunTool
from punie.models.mlx.model import MlxModel

FILES = {
    "config.py": 'TIMEOUT = 30\nRETRIES = 3\nHOST = "localhost"\n',
    "app/client.py": (
        "from config import HOST, TIMEOUT\n\n\n"
        "def open_connection(host):\n    return host\n\n\n"
        "def fetch_page(path):\n    return open_connection(HOST) + path\n"
    ),
    "app/limits.py": "MAX_USERS = 250\nMAX_REQUESTS = 1200\nPAGE_SIZE = 40\n",
    "notes.md": "# Notes\n\nThe server starts slowly.\n",
}

QUESTIONS = (
    "read config.py",
    "what is RETRIES in config.py?",
    "where is fetch_page defined?",
    "show me notes.md",
    "what does app/client.py define?",
    "what is MAX_USERS set to in app/limits.py?",
    "search for TIMEOUT",
    "list app",
    "read app/limits.py",
    "where is open_connection defined?",
)

EDITS = (
    "set RETRIES to 5 in config.py",
    "replace `TIMEOUT = 30` with `TIMEOUT = 45` in config.py",
    "in app/limits.py, change `MAX_REQUESTS = 1200` to `MAX_REQUESTS = 1500`",
    "rename fetch_page to load_page",
    "in app/limits.py, replace `PAGE_SIZE = 40` with `PAGE_SIZE = 60`",
    "set MAX_USERS to 300 in app/limits.py",
    "in app/client.py, replace `def open_connection(host):` with `def open_socket(host):`",
    "in notes.md, replace `The server starts slowly.` with `The server starts at once.`",
)

_MOST_REQUESTS = 4


@dataclass(frozen=True)
class Step:
    """One request of a turn: the messages that the model read, and its answer."""

    messages: tuple[ModelMessage, ...]
    answer: Answer


async def turn(
    model: MlxModel,
    messages: list[ModelMessage],
    prompt: str,
    settings: ModelSettings,
    parameters: ModelRequestParameters,
    run: RunTool,
) -> AsyncGenerator[Step]:
    """Let the model work on a prompt with real tools; yield each of its requests when it is over.

    Everything said is added to `messages`. Ends early where the window has no room.
    """
    window = model.profile.get("context_window") or 0
    messages.append(ModelRequest(parts=[UserPromptPart(prompt)]))
    for _ in range(_MOST_REQUESTS):
        room = window - len(await model.prompt_tokens(messages, parameters))
        if room <= settings.get("max_tokens", 0):
            return
        before = tuple(messages)
        answer = await ask(model, messages, settings, parameters)
        messages.append(answer.response)
        results = await _results(answer.response, run)
        if results:
            messages.append(ModelRequest(parts=results))
        yield Step(before, answer)
        if not results:
            return


async def _results(response: ModelResponse, run: RunTool) -> list[ToolReturnPart]:
    results = []
    for call in response.tool_calls:
        try:
            arguments = call.args_as_dict(raise_if_invalid=True)
        except (ValueError, AssertionError):
            text = "error: the call could not be read"
        else:
            text = await run(call.tool_name, arguments)
        results.append(ToolReturnPart(call.tool_name, text, call.tool_call_id))
    return results
