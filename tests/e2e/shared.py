"""One agent for the tests of a file that each want just some sessions of an agent.

A file asks for it by `pytestmark = pytest.mark.shared_agent`. Its tests then start the same agent:
settings reach their sessions by the user's settings file, which is read for each session anew. An
agent that a test ends is not used again, and a second one in one test, or one with other
variables, is a process of its own.
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.e2e.client import Client, Json, Refused, allow

_SETTINGS = ("PUNIE_MODEL", "PUNIE_MODE", "PUNIE_CODE_MODE")
"""Variables that mean the same in a settings file."""


class SharedAgent:
    """The agent of a file, started when it is first wanted, in the given environment."""

    def __init__(self, environment: dict[str, str], stack: ExitStack) -> None:
        self.environment = environment
        self._settings = Path(environment["PUNIE_CONFIG_DIR"]) / "settings.toml"
        self._stack = stack
        self._client: Client | None = None
        self._lent = False

    @contextlib.contextmanager
    def one_test(self) -> Iterator[None]:
        """Lend it for a test; nothing that the test began in it goes on afterwards."""
        self._lent = False
        try:
            yield
        finally:
            if self._lent:
                self._close_sessions()
            shutil.rmtree(self._settings.parent, ignore_errors=True)

    def lend(
        self,
        variables: Mapping[str, str],
        *,
        answer: Callable[[Json], Json | None] = allow,
        sound: bool = True,
        **options: object,
    ) -> Client | None:
        """Return the agent as if it were fresh, or None if this needs one of its own."""
        unlike = {
            name
            for name in {*variables, *self.environment}
            if variables.get(name) != self.environment.get(name)
        }
        if self._lent or options or not unlike <= set(_SETTINGS):
            return None
        lines = [
            f"{name.removeprefix('PUNIE_').lower()} = {json.dumps(variables[name])}\n"
            for name in sorted(unlike)
        ]
        self._settings.parent.mkdir(exist_ok=True)
        self._settings.write_text("".join(lines))
        if self._client is None or self._client.process.poll() is not None:
            self._client = self._stack.enter_context(Client(self.environment))
        client = self._client
        client.messages.clear()
        client.answer = answer
        client.exchange.sound = sound
        self._lent = True
        return client

    def _close_sessions(self) -> None:
        client = self._client
        assert client is not None
        client.answer = allow
        told = [message.get("params", message.get("result")) for message in list(client.messages)]
        ids = {each["sessionId"] for each in told if isinstance(each, dict) and "sessionId" in each}
        for session in sorted(ids):
            if client.process.poll() is None:
                with contextlib.suppress(Refused, OSError, TimeoutError):
                    client.request("session/close", {"sessionId": session})
