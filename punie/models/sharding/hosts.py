"""The machines that share a model, as MLX's own host files name them."""

import ipaddress
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIRST_PORT = 32_323
"""Where MLX's launcher begins too, on machines whose ports cannot be looked at from here."""


class CannotShare(Exception):  # noqa: N818 - it names a state, as the user reads it
    """The machines cannot run the model together; the message is one sentence."""


@dataclass(frozen=True)
class RingHost:
    """A machine: `name` is how ssh reaches it, `addresses` how the others do."""

    name: str
    addresses: tuple[str, ...]


def read_hosts(path: Path) -> tuple[RingHost, ...]:
    """Read a host file, whose first entry is this machine; raise `CannotShare`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CannotShare(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise CannotShare(
            f"{path} is not valid JSON; `mlx.distributed_config` writes such files."
        ) from None
    backend = content.get("backend") if isinstance(content, dict) else None
    if backend not in (None, "", "ring"):
        raise CannotShare(f"{path} asks for the backend {backend!r}; Punie uses ring only.")
    entries = content.get("hosts") if isinstance(content, dict) else content
    if not isinstance(entries, list) or len(entries) < 2:
        raise CannotShare(f"{path} must list two machines or more, this one first.")
    hosts = tuple(_host(path, number, entry) for number, entry in enumerate(entries, 1))
    if not is_here(hosts[0].addresses[0]):
        raise CannotShare(
            f"The first machine of {path} must be this one, but {hosts[0].addresses[0]} is no "
            "address of it."
        )
    return hosts


def _host(path: Path, number: int, entry: Any) -> RingHost:
    name = entry.get("ssh") if isinstance(entry, dict) else None
    addresses = entry.get("ips") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name or name.startswith("-"):
        raise CannotShare(f'Machine {number} of {path} has no name for ssh; give it an "ssh".')
    if not isinstance(addresses, list) or not addresses or not all(map(_is_address, addresses)):
        raise CannotShare(
            f'Machine {number} of {path} ({name}) needs "ips": a list of its IP addresses.'
        )
    return RingHost(name, tuple(addresses))


def _is_address(text: object) -> bool:
    try:
        ipaddress.ip_address(text if isinstance(text, str) else "")
    except ValueError:
        return False
    return True


def is_here(address: str) -> bool:
    """Tell whether an address is one of this machine's."""
    return _free_port(address) is not None


def ring_addresses(hosts: tuple[RingHost, ...], first_port: int = FIRST_PORT) -> list[list[str]]:
    """Return where each machine waits for its neighbours.

    Ports of this one are free now; those of the others count from `first_port`.
    """
    port = first_port
    ring = []
    for host in hosts:
        node = []
        for address in host.addresses:
            node.append(f"{address}:{_free_port(address) or port}")
            port += 1
        ring.append(node)
    return ring


def _free_port(address: str) -> int | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
            return int(probe.getsockname()[1])
    except OSError:
        return None
