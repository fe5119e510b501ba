"""Tokens per second through `MlxModel` against raw `mlx_lm.stream_generate`.

Same model, same prompt, greedy, runs alternating; prints both medians and their ratio:

    python tests/bench/bench_decode.py [MODEL] [--tokens 200] [--runs 7]

Only decoding is compared: the clock starts at the first piece of the answer on both sides. End of
turn tokens are ignored on both sides, so that both write the same number of tokens.
"""

import argparse
import statistics
import time
from typing import Any

import anyio
import anyio.to_thread
import mlx.core as mx
from mlx_lm.generate import stream_generate
from mlx_lm.tokenizer_utils import load as load_tokenizer
from mlx_lm.utils import load_model
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestParameters

from punie.models.catalog import resolve_model
from punie.models.load import close_models, open_model
from punie.models.mlx.generation import Decoded, Prefilled
from punie.models.mlx.model import MlxModel
from punie.models.mlx.stream import MlxStream

QUESTION = "Write a long story about a fox that learns to program in Python."


def rate_of_raw(model: Any, tokenizer: Any, prompt: list[int], tokens: int) -> float:
    """Return tokens per second of mlx-lm's own stream, which decodes text too."""
    begin = 0.0
    count = 0
    for _ in stream_generate(model, tokenizer, prompt, max_tokens=tokens):
        if not begin:
            begin = time.perf_counter()
        count += 1
    return (count - 1) / (time.perf_counter() - begin)


async def rate_of_model(model: MlxModel, messages: list[ModelMessage], tokens: int) -> float:
    """Return tokens per second through the whole model: engine, decoder, parser, parts."""
    parameters = ModelRequestParameters()
    async with model.request_stream(messages, {"max_tokens": tokens}, parameters) as stream:
        assert isinstance(stream, MlxStream)
        clock = _Clock(stream)
        async for _ in stream:
            pass
    end = time.perf_counter()
    if clock.count < tokens:
        raise SystemExit(f"The model stopped after {clock.count} of {tokens} tokens.")
    return (clock.count - clock.first) / (end - clock.begin)


class _Clock:
    """Notes when the first tokens of a stream arrived, and counts all of them."""

    def __init__(self, stream: MlxStream) -> None:
        self.begin = 0.0
        self.first = 0
        self.count = 0
        self._source = stream.generation
        stream.generation = self

    def cancel(self) -> None:
        self._source.cancel()

    async def __aiter__(self) -> Any:
        async for event in self._source:
            if isinstance(event, Decoded):
                if not self.begin:
                    self.begin = time.perf_counter()
                    self.first = len(event.tokens)
                self.count += len(event.tokens)
            if not isinstance(event, Prefilled):
                yield event


async def measure(reference: str | None, tokens: int, runs: int) -> None:
    """Run both sides in turn and print the medians."""
    choice = resolve_model(reference)
    assert choice.path is not None
    model = await open_model(choice)
    assert isinstance(model, MlxModel)
    model.chat_format.stop_ids = frozenset()
    messages: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart(QUESTION)])]
    prompt = await model.prompt_tokens(messages, ModelRequestParameters())
    raw_model, config = load_model(choice.path)
    tokenizer = load_tokenizer(choice.path, None, config.get("eos_token_id"))
    tokenizer._eos_token_ids = set()
    ours: list[float] = []
    raw: list[float] = []
    try:
        for number in range(runs + 1):
            # In a thread as well: on a busy machine the scheduler treats the main thread otherwise.
            one = await anyio.to_thread.run_sync(rate_of_raw, raw_model, tokenizer, prompt, tokens)
            two = await rate_of_model(model, messages, tokens)
            if number:  # the first round warms both up
                raw.append(one)
                ours.append(two)
    finally:
        await close_models()
        # A stream that is left in a thread may abort the interpreter at its end.
        await anyio.to_thread.run_sync(mx.clear_streams)
    print(f"model               {choice.id} ({mx.default_device()})")
    print(f"prompt, answer      {len(prompt)} and {tokens} tokens, {runs} alternating runs")
    print(f"mlx_lm              {statistics.median(raw):8.1f} tokens/s (median)")
    print(f"MlxModel            {statistics.median(ours):8.1f} tokens/s (median)")
    ratios = [left / right for left, right in zip(ours, raw, strict=True)]
    print(f"ratio               {statistics.median(ours) / statistics.median(raw):8.3f}")
    print(f"ratios of the runs  {' '.join(f'{ratio:.2f}' for ratio in ratios)}")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", help="directory, hub id or name; default: bundled")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    anyio.run(measure, arguments.model, arguments.tokens, arguments.runs)


if __name__ == "__main__":
    main()
