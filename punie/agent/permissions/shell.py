"""A shell command line as the commands that it really runs, each to be judged by itself.

What runs is found with bash's grammar, never by looking at the text. Whatever is not wholly
understood is *opaque*, and no pattern may then allow the line. Being wrong in that direction costs
a question; being wrong in the other would run what nobody allowed.
"""

from dataclasses import dataclass
from typing import Literal

Need = Literal["itself", "inner", "both", "named"]
"""What must be allowed so that a command is: itself; what it runs; both; or itself by a pattern
that names what it runs too (`sudo apt *`, never `sudo *`)."""


@dataclass(frozen=True)
class Word:
    """One argument: `text` is what the program gets, or the source if that is not `known`.

    `option` tells that the program may take it for an option.
    """

    text: str
    known: bool = True
    option: bool = False


@dataclass(frozen=True)
class SimpleCommand:
    """One program or builtin with its arguments.

    `altered` tells that its environment is changed in front of it, which can change what it does;
    `open_ended` that it gets more arguments than are written. What a wrapper such as `sudo` runs
    is in `inner`, which begins at word `inner_at` where it is written as words.
    """

    words: tuple[Word, ...]
    altered: bool = False
    open_ended: bool = False
    need: Need = "itself"
    inner: tuple["SimpleCommand", ...] = ()
    inner_at: int | None = None

    def each(self) -> tuple["SimpleCommand", ...]:
        """Return this command and all that it runs."""
        return (self, *(each for command in self.inner for each in command.each()))


@dataclass(frozen=True)
class CommandLine:
    """What a line does: its commands, the files that redirections write, and what is opaque.

    `opaque` holds a few words for each thing that was not understood.
    """

    text: str
    commands: tuple[SimpleCommand, ...] = ()
    writes: tuple[Word, ...] = ()
    opaque: tuple[str, ...] = ()

    def each(self) -> tuple[SimpleCommand, ...]:
        """Return every command, also those that others run."""
        return tuple(each for command in self.commands for each in command.each())


def read_command_line(text: str) -> CommandLine:
    """Read a command line; never raises, trouble makes it opaque."""
    # Not at the top: loading the grammar takes time that the start of a session does not have.
    from punie.agent.permissions.grammar import Reader

    reader = Reader()
    commands = reader.code(text)
    return CommandLine(text, tuple(commands), tuple(reader.writes), tuple(reader.opaque))
