"""Prefilled tokens of a session with tool calls, turn by turn, against the tokens that were new.

A session of several prompts runs through the agent's own turns on one model. For every model call
the prompt's length, the tokens that were new in it and the tokens that really went through the
model are printed, and at the end the largest surplus, which may be one prefill chunk at most:

    python tests/bench/bench_prefill.py [MODEL]
"""

import argparse
import tempfile
from pathlib import Path

import anyio

from punie.agent.cancel import CancelSignal
from punie.agent.events import PermissionAsked, PromptText, TurnEvent, UsageChanged, UserMessage
from punie.agent.journal import PastTurns
from punie.agent.turn import run_turn
from punie.agent.turn_config import TurnConfig
from punie.models.catalog import resolve_model
from punie.models.load import close_models, open_model
from punie.models.mlx.model import MlxModel
from punie.tools.base import ReadLedger
from punie.tools.catalog import ALL_TOOLS
from punie.workspace.local import LocalWorkspace

PROMPTS = (
    "Read settings.py",
    "Where is RETRIES used?",
    "Set TIMEOUT to 60",
    "Run ls",
    "What does client.py define?",
    "Create notes.txt with `done`",
)


async def _yes(question: PermissionAsked) -> str | None:
    return question.choices[0].id


async def main(reference: str | None) -> None:
    """Run the session and print one line for each model call."""
    model = await open_model(resolve_model(reference))
    assert isinstance(model, MlxModel)
    events: list[TurnEvent] = []

    async def emit(event: TurnEvent) -> None:
        events.append(event)

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        (root / "settings.py").write_text("TIMEOUT = 30\nRETRIES = 3\n")
        (root / "client.py").write_text("def connect(host):\n    return host\n")
        config = TurnConfig(
            model=model,
            workspace=LocalWorkspace([root]),
            reads=ReadLedger(),
            tools=ALL_TOOLS,
            mode=lambda: "auto",
            max_requests=6,
            max_tokens=200,
        )
        for number, prompt in enumerate(PROMPTS):
            blocks = (PromptText(text=prompt),)
            message = UserMessage(message_id=str(number), blocks=blocks, text=prompt)
            history = tuple(events)
            await run_turn(
                config, message, PastTurns(history), emit=emit, ask=_yes, cancel=CancelSignal()
            )
    counted = model.engine.prefilled_tokens
    await close_models()
    calls = [event for event in events if isinstance(event, UsageChanged)]
    known, worst, total = 0, 0, 0
    for call in calls:
        new, prefilled = call.input_tokens - known, call.input_tokens - call.cached_tokens
        print(f"prompt {call.input_tokens:5}  new {new:4}  prefilled {prefilled:4}")
        worst, total = max(worst, prefilled - new), total + prefilled
        known = call.input_tokens + call.output_tokens
    print(f"{len(calls)} model calls, {counted} tokens prefilled (engine), {total} (usage)")
    print(f"without reuse: {sum(call.input_tokens for call in calls)} tokens")
    print(f"largest surplus over the new tokens: {worst}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    anyio.run(main, parser.parse_args().model)
