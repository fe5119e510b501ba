"""Whether memory stays flat over many short turns, in sessions that come and go."""

import os
import subprocess
import time
from pathlib import Path

from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from punie.models.mlx.bench.answers import ask
from punie.models.mlx.bench.rows import BenchError, Finding, Limit, Row
from punie.models.mlx.bench.suite import Subject
from punie.models.streaming import ModelUse

TURNS = 1_000
_WARM = 200
_SESSION = 20
_SECONDS = 240.0
_SAY_EVERY = 50
_FEWEST = 2 * _WARM
_QUESTION = "Is it right to keep the settings of a project in one file? This is question {number}."


async def measure(subject: Subject) -> list[Finding]:
    """Compare what the process holds after the first fifth of the turns and after all of them.

    A slow model does fewer turns in the time there is.
    """
    settings = ModelSettings(max_tokens=6, temperature=0.0)
    warm, done = 0, 0
    messages: list[ModelMessage] = []
    deadline = time.monotonic() + _SECONDS
    while done < TURNS and time.monotonic() < deadline:
        if done % _SAY_EVERY == 0:
            subject.say(f"turn {done + 1} of {TURNS}")
        session, number = divmod(done, _SESSION)
        model = subject.model.used_by(ModelUse(f"bench-memory-{session}"))
        if number == 0:
            messages = []
        messages.append(ModelRequest(parts=[UserPromptPart(_QUESTION.format(number=done))]))
        answer = await ask(model, messages, settings, ModelRequestParameters())
        messages.append(answer.response)
        done += 1
        if number == _SESSION - 1:
            # As when a session is deleted: the cache of prefixes is not to grow meanwhile.
            subject.model.engine.forget(f"bench-memory-{session}")
        if done == _WARM:
            warm = resident_bytes()
    if done < _FEWEST:
        raise BenchError(f"only {done} turns fit into {_SECONDS:.0f} s, too few to tell")
    end = resident_bytes()
    return [
        Row(
            "growth of memory",
            100 * (end / warm - 1),
            "%",
            f"from {warm / 1e6:,.0f} MB after {_WARM} turns to {end / 1e6:,.0f} MB after {done:,}",
            Limit("at most", 3.0),
        )
    ]


def resident_bytes(pid: int | None = None) -> int:
    """Return the memory that a process, or else this one, holds in RAM."""
    pid = os.getpid() if pid is None else pid
    counts = Path(f"/proc/{pid}/statm")
    if counts.exists():
        pages = int(counts.read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    command = ["/bin/ps", "-o", "rss=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return int(done.stdout) * 1024
