"""What import statements bring into a file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Imported:
    """One name that an import statement brings; `obj` is None for a module itself."""

    module: str
    obj: str | None
    alias: str | None
    level: int

    @property
    def name(self) -> str:
        """The name that it has in the file."""
        return self.alias or self.obj or self.module.partition(".")[0]
