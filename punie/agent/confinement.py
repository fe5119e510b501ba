"""How the user's settings confine the commands of a workspace."""

from pathlib import Path
from typing import Literal, Protocol

from punie.workspace.sandbox.view import SandboxOptions

__all__ = ["sandbox_options"]


class SandboxSettings(Protocol):
    """The user's settings about the sandbox; the folders are absolute."""

    @property
    def sandbox(self) -> Literal["on", "always", "off"]: ...
    @property
    def sandbox_network(self) -> bool: ...
    @property
    def sandbox_write(self) -> tuple[Path, ...]: ...
    @property
    def state_dir(self) -> Path: ...


def sandbox_options(settings: SandboxSettings, config_dir: Path) -> SandboxOptions:
    """Return how commands are confined; `config_dir` is where settings and rules are kept."""
    return SandboxOptions(
        wanted=settings.sandbox,
        network=settings.sandbox_network,
        write=settings.sandbox_write,
        own=(settings.state_dir, config_dir),
    )
