"""What the engine tells in the terminal, by `punie ask`."""

import subprocess
import sys
from pathlib import Path

from tests.e2e.client import COMMAND
from tests.e2e.engine.models import Models
from tests.e2e.engine.test_memory import HUGE, LITTLE, WINDOW


def ask(
    environment: dict[str, str], project: Path, prompt: str, model: Path, **settings: object
) -> "subprocess.CompletedProcess[str]":
    usual = {"mode": "plan", "max_tokens": 40, "temperature": 0, "model": model}
    named = {f"PUNIE_{name.upper()}": str(value) for name, value in {**usual, **settings}.items()}
    return subprocess.run(
        [COMMAND, "ask", "-"],
        input=prompt,
        env={**environment, **named},
        cwd=project,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        errors="replace",
    )


def test_memory_that_is_not_there_is_one_sentence(
    environment: dict[str, str], models: Models, project: Path
) -> None:
    model = models.random(window=WINDOW)
    done = ask(environment, project, HUGE, model, memory_gb=LITTLE)
    told = done.stdout + done.stderr
    assert done.returncode == 1
    assert told.count("there is memory for") == 1
    assert "Traceback" not in told


def test_a_draft_model_that_cannot_be_used_is_told_and_the_answer_is_the_same(
    environment: dict[str, str], models: Models, project: Path
) -> None:
    model = models.random()
    plain = ask(environment, project, "Good morning", model)
    assert plain.returncode == 1  # The answer never ends by itself.
    assert "it reached max_tokens" in plain.stderr
    done = ask(environment, project, "Good morning", model, draft_model="punie-tiny")
    assert done.stderr.count("answers come without a draft model") == 1
    assert "has other tokens" in done.stderr
    assert done.stdout == plain.stdout


def test_what_was_read_is_there_in_the_next_process(
    environment: dict[str, str], models: Models, project: Path
) -> None:
    model = models.random()
    first = ask(environment, project, "Good morning", model)
    prefixes = Path(environment["PUNIE_STATE_DIR"]) / "prefixes"
    assert list(prefixes.rglob("*.safetensors"))
    again = ask(environment, project, "Good morning", model)
    assert again.stdout == first.stdout


def test_the_process_ends_before_the_interpreter_goes_away(
    environment: dict[str, str], models: Models, project: Path
) -> None:
    """Threads that used MLX would abort it now and then."""
    program = """
import atexit, sys
from punie.cli.main import main

atexit.register(print, "The interpreter went away.")
sys.argv = ["punie", *sys.argv[1:]]
sys.exit(main())
"""
    settings = {"PUNIE_MODEL": str(models.random()), "PUNIE_MAX_TOKENS": "40"}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env={**environment, **settings, "PUNIE_MODE": "plan"},
            cwd=project,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            errors="replace",
        )

    done = run("ask", "Good morning")
    assert done.returncode == 1
    assert done.stdout.endswith("\n")
    assert len(done.stdout) > 40
    assert "went away" not in done.stdout
    # Where no model ran everything is as usual.
    done = run("mcp")
    assert done.returncode == 0
    assert "went away" in done.stdout
