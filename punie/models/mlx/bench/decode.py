"""Speed of writing and the wait for the first token, against mlx-lm's own stream.

Both sides use the same weights on the same thread, greedily and without drafts, with the same
prompt in the cache. Tokens that end a turn are ignored, so that both write equally many. Our side
goes through all that a session's request goes through: engine, decoder, parser, parts.
"""

import statistics
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio.to_thread
import mlx.core as mx
from mlx_lm.generate import stream_generate
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.tokenizer_utils import load as load_tokenizer
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from punie.models.mlx.bench.answers import ask, endless
from punie.models.mlx.bench.prompts import SENTENCE
from punie.models.mlx.bench.rows import BenchError, Finding, Limit, Row
from punie.models.mlx.bench.suite import Subject
from punie.models.streaming import ModelUse

_TOKENS = 200
_RUNS = 7
_FIRST_RUNS = 15
_NO_END = -1
"""No token has this id."""

QUESTION = "Write a long story about a fox that learns to program in Python."


async def measure(subject: Subject) -> list[Finding]:
    """Compare speeds of writing, then the waits for the first token."""
    tokenizer = await anyio.to_thread.run_sync(
        lambda: load_tokenizer(subject.path, None, [_NO_END])
    )
    with endless(subject.model):
        return [await _speed(subject, tokenizer), await _first_token(subject, tokenizer)]


def _messages(text: str) -> list[ModelMessage]:
    return [ModelRequest(parts=[UserPromptPart(text)])]


async def _speed(subject: Subject, tokenizer: Any) -> Row:
    model = subject.model.used_by(ModelUse("bench-decode", speculate=False))
    messages, parameters = _messages(QUESTION), ModelRequestParameters()
    prompt = await model.prompt_tokens(messages, parameters)
    settings = ModelSettings(max_tokens=_TOKENS, temperature=0.0)
    ours, raw = [], []
    for run in range(_RUNS + 1):
        subject.say(f"speed, run {run + 1} of {_RUNS + 1}")
        plain = await _on_engine(subject, partial(_raw_rate, tokenizer, prompt))
        answer = await ask(model, messages, settings, parameters)
        if len(answer.tokens) < _TOKENS:
            raise BenchError(f"the model stopped after {len(answer.tokens)} of {_TOKENS} tokens")
        if run:  # the first one warms both up
            raw.append(plain)
            ours.append(answer.rate)
    mine, theirs = statistics.median(ours), statistics.median(raw)
    return Row(
        "speed of writing",
        mine / theirs,
        "times",
        f"that of mlx_lm.stream_generate ({mine:.1f} and {theirs:.1f} tokens/s, medians of "
        f"{_RUNS})",
        Limit("at least", 0.95),
    )


async def _first_token(subject: Subject, tokenizer: Any) -> Row:
    model = subject.model.used_by(ModelUse("bench-first", speculate=False))
    parameters, settings = ModelRequestParameters(), ModelSettings(max_tokens=2, temperature=0.0)
    extra, raw, read = [], [], 0
    for run in range(_FIRST_RUNS + 1):
        subject.say(f"first token, run {run + 1} of {_FIRST_RUNS + 1}")
        messages = _messages(SENTENCE.format(number=run, other=7 * run) * 4)
        prompt = await model.prompt_tokens(messages, parameters)
        answer = await ask(model, messages, settings, parameters)
        raw_first = partial(_raw_first, tokenizer, prompt, answer.end.cached)
        plain = await _on_engine(subject, raw_first)
        if run:
            raw.append(plain)
            extra.append(answer.first - plain)
            read = answer.end.prefilled
    return Row(
        "first token",
        1e3 * statistics.median(extra),
        "ms",
        f"beyond the {1e3 * statistics.median(raw):.1f} ms in which mlx_lm.stream_generate reads "
        f"the same {read} tokens (median of {_FIRST_RUNS})",
        Limit("at most", 10.0),
    )


async def _on_engine(subject: Subject, job: Callable[[Any, threading.Event], float]) -> float:
    """Run mlx-lm's side on the engine's thread; it looks at the event and ends when it is set."""
    stop = threading.Event()
    try:
        return await subject.model.engine.with_model(lambda model: job(model, stop))
    finally:
        stop.set()


def _raw_rate(tokenizer: Any, prompt: list[int], model: Any, stop: threading.Event) -> float:
    begin = 0.0
    count = 0
    for _ in stream_generate(model, tokenizer, prompt, max_tokens=_TOKENS):
        begin = begin or time.perf_counter()
        count += 1
        if stop.is_set():
            break
    return (count - 1) / max(time.perf_counter() - begin, 1e-9)


def _raw_first(
    tokenizer: Any, prompt: list[int], known: int, model: Any, stop: threading.Event
) -> float:
    """Return the seconds to the first token when `known` tokens of the prompt are read already."""
    cache = make_prompt_cache(model)
    if known:
        model(mx.array(prompt[:known])[None], cache=cache)
        mx.eval([layer.state for layer in cache])
    stream = stream_generate(model, tokenizer, prompt[known:], max_tokens=2, prompt_cache=cache)
    begin = time.perf_counter()
    next(stream)
    seconds = time.perf_counter() - begin
    stream.close()
    mx.synchronize()
    return seconds
