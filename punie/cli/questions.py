"""Asks on the terminal what only a person may decide; without one, nothing is allowed."""

import os
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from punie.cli.terminal import Terminal, printable, read_line

Json = dict[str, Any]

_KEYS = {
    "allow_once": "y",
    "allow_always": "a",
    "allow_always_pattern": "p",
    "reject_once": "n",
    "reject_always": "never",
}
"""What is typed for an answer; what is for good is not one slip away from another."""


class Asker:
    """Asks on `terminal`; the questions are written to `console`."""

    def __init__(self, terminal: Terminal | None, console: Console, *, yes: bool) -> None:
        self._terminal = terminal
        self._console = console
        self._yes = yes

    @property
    def attended(self) -> bool:
        """Whether somebody can be asked."""
        return self._terminal is not None

    async def permission(self, options: Sequence[Json]) -> str | None:
        """Return the id of the chosen option; None if there is none to answer with."""
        if self._yes:
            self._console.print(Text("  allowed by --yes", style="dim"))
            return _of_kind(options, "allow_once")
        if self._terminal is None:
            self._console.print(
                Text("  denied: nobody can be asked here; --yes or --mode allow it", style="yellow")
            )
            return _of_kind(options, "reject_once")
        for option in options:
            self._console.print(Text(f"  {_key(option):>5}  {printable(option['name'])}"))
        self._prompt("Allow this? [y/N] ")
        answer = (await read_line(self._terminal) or "").lower()
        for option in options:
            if answer in (_key(option), option["name"].lower()):
                return str(option["optionId"])
        return _of_kind(options, "allow_once" if answer == "yes" else "reject_once")

    async def form(self, schema: Json) -> Json | None:
        """Have a form of one question filled in: a field to pick from, one to write in, or both.

        Returns the fields; None if the person declines.
        """
        if self._terminal is None:
            return None
        properties: Json = schema.get("properties") or {}
        picked = next((name for name, field in properties.items() if field.get("enum")), None)
        written = next((name for name in properties if name != picked), picked)
        choices = [] if picked is None else [str(each) for each in properties[picked]["enum"]]
        for number, choice in enumerate(choices, 1):
            self._console.print(Text(f"  {number}. {printable(choice)}"))
        self._prompt("Your answer or its number: " if choices else "Your answer: ")
        answer = await read_line(self._terminal)
        if not answer or written is None:
            return None
        number = int(answer) if answer.isascii() and answer.isdigit() else 0
        if picked is not None and 0 < number <= len(choices):
            return {picked: choices[number - 1]}
        return {written: answer}

    def close(self) -> None:
        """Close the terminal."""
        if self._terminal is not None:
            os.close(self._terminal.descriptor)
            self._terminal = None

    def _prompt(self, text: str) -> None:
        self._console.print(Text(f"  {text}", style="bold yellow"), end="")


def _of_kind(options: Sequence[Json], kind: str) -> str | None:
    return next((str(each["optionId"]) for each in options if each.get("kind") == kind), None)


def _key(option: Json) -> str:
    return _KEYS.get(option["optionId"], str(option["optionId"]))
