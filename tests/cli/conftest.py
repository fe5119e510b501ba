"""Runs the installed `punie` command in a home of its own."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PUNIE = Path(sys.executable).with_name("punie")


@dataclass
class Command:
    """The installed command; every run gets the same temporary home and state folder."""

    home: Path
    state: Path
    cwd: Path
    extra: dict[str, str] = field(default_factory=dict)
    timeout: float = 300.0

    @property
    def environment(self) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("PUNIE_", "XDG_"))}
        return kept | {
            "HOME": str(self.home),
            "PUNIE_STATE_DIR": str(self.state),
            "PUNIE_CONFIG_DIR": str(self.home / "config"),
            # A home of its own has no kernels yet, and building them takes half a minute.
            "MLX_DISABLE_COMPILE": "1",
            **self.extra,
        }

    def arguments(self, *given: str) -> list[str]:
        return [str(PUNIE), *given]

    def __call__(
        self, *arguments: str, text: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.arguments(*arguments),
            input=text,
            capture_output=True,
            text=True,
            env=self.environment | environment,
            cwd=self.cwd,
            timeout=self.timeout,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.arguments(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.cwd,
        )


@pytest.fixture
def punie(tmp_path: Path) -> Command:
    for name in ("home", "project"):
        (tmp_path / name).mkdir()
    return Command(tmp_path / "home", tmp_path / "state", tmp_path / "project")


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Write a script for the scripted model and return its reference."""

    numbers = itertools.count()

    def write(*responses: dict[str, Any]) -> str:
        # A server has read the one before.
        path = tmp_path / f"script{next(numbers)}.json"
        path.write_text(json.dumps({"responses": responses}), encoding="utf-8")
        return f"scripted:{path}"

    return write
