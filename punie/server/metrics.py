"""What the server counts, as Prometheus reads it.

Source: the Prometheus text exposition format, version 0.0.4.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from punie import __version__
from punie.acp.host import AgentHost

_PROMPT = "session/prompt"


class Metrics:
    """Counts what goes through the connections. Times are seconds, sizes bytes."""

    def __init__(self, host: AgentHost) -> None:
        self._host = host
        self._begun = time.monotonic()
        self._running: dict[tuple[str, Any], float] = {}
        self._ended: Counter[str] = Counter()
        self._turn_seconds = 0.0
        self._updates = 0
        self._questions = 0
        self.connections = 0
        self.connections_total = 0

    def joined(self) -> None:
        """Count a client that came."""
        self.connections += 1
        self.connections_total += 1

    def left(self, connection_id: str) -> None:
        """Count a client that went, with the turns that nobody answers any more."""
        self.connections -= 1
        for key in [key for key in self._running if key[0] == connection_id]:
            del self._running[key]
            self._ended["cancelled"] += 1

    def observe(self, connection_id: str, message: dict[str, Any], *, incoming: bool) -> None:
        """Count one message."""
        method = message.get("method")
        if incoming:
            if method == _PROMPT:
                self._running[connection_id, message.get("id")] = time.monotonic()
        elif method == "session/update":
            self._updates += 1
        elif method == "session/request_permission":
            self._questions += 1
        elif method is None:
            begun = self._running.pop((connection_id, message.get("id")), None)
            if begun is not None:
                self._turn_seconds += time.monotonic() - begun
                result = message.get("result")
                self._ended[result["stopReason"] if isinstance(result, dict) else "error"] += 1

    def summary(self) -> dict[str, Any]:
        """Return the numbers that `punie status` shows."""
        return {
            "version": __version__,
            "uptime_seconds": round(time.monotonic() - self._begun, 1),
            "clients": self.connections,
            "sessions": len(self._host.holders),
            "turns": len(self._running),
        }

    def for_page(self) -> dict[str, Any]:
        """Return the numbers that the page shows."""
        return {
            **self.summary(),
            "turns_ended": dict(self._ended),
            "turn_seconds": round(self._turn_seconds, 1),
            "updates": self._updates,
            "questions": self._questions,
            "memory_bytes": _resident(),
        }

    def text(self) -> str:
        """Return all numbers in Prometheus' text format."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        up = time.monotonic() - self._begun
        yield from _metric("punie_info", "gauge", "The running version.", 1, version=__version__)
        yield from _metric("punie_uptime_seconds", "gauge", "Time since the start.", up)
        yield from _metric(
            "punie_connections", "gauge", "Clients that are connected.", self.connections
        )
        yield from _metric(
            "punie_connections_total", "counter", "Clients that came.", self.connections_total
        )
        yield from _metric(
            "punie_sessions_open", "gauge", "Sessions that are open.", len(self._host.holders)
        )
        yield from _metric(
            "punie_turns_running", "gauge", "Turns that run now.", len(self._running)
        )
        yield "# HELP punie_turns_total Turns that ended, by how."
        yield "# TYPE punie_turns_total counter"
        for reason, count in sorted(self._ended.items()):
            yield f'punie_turns_total{{stop_reason="{reason}"}} {count}'
        yield from _metric(
            "punie_turn_seconds_total", "counter", "Time that turns took.", self._turn_seconds
        )
        yield from _metric(
            "punie_updates_total", "counter", "Updates that were sent.", self._updates
        )
        yield from _metric(
            "punie_permission_questions_total", "counter", "Questions asked.", self._questions
        )
        memory = _resident()
        if memory is not None:
            yield from _metric(
                "process_resident_memory_bytes", "gauge", "Memory of the process.", memory
            )


def _metric(name: str, kind: str, meaning: str, value: float, **labels: str) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"
    named = ",".join(f'{label}="{text}"' for label, text in labels.items())
    yield f"{name}{{{named}}} {value:.17g}" if named else f"{name} {value:.17g}"


def _resident() -> int | None:
    """Return the memory of this process, where the system tells it without another program."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
