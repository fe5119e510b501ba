"""What a call acts on, for rules that speak of commands and files and not of arguments."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CommandSubject:
    """The call runs this shell command line; `unsandboxed` with all that the user may do."""

    line: str
    unsandboxed: bool = False


@dataclass(frozen=True)
class FilesSubject:
    """The call changes these files; the paths are as the model gave them."""

    paths: tuple[str, ...]


@dataclass(frozen=True)
class ReadSubject:
    """The call shows what is in these files; the paths are as the model gave them."""

    paths: tuple[str, ...]


Subject = CommandSubject | FilesSubject | ReadSubject
