"""What starts the server with the user's session: a systemd user unit, a launchd job."""

import plistlib
from collections.abc import Mapping, Sequence
from pathlib import Path

LABEL = "dev.punie.server"
_END_SECONDS = 30


def systemd_unit(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return a systemd user unit that runs `command`; see systemd.service(5)."""
    lines = [
        "[Unit]",
        "Description=Punie, one coding agent for all projects of this user",
        "",
        "[Service]",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in environment.items()),
        f"ExecStart={' '.join(map(_quoted_argument, command))}",
        "Restart=on-failure",
        "RestartSec=30",
        "KillMode=mixed",
        f"TimeoutStopSec={_END_SECONDS}",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "".join(f"{line}\n" for line in lines)


def launchd_plist(command: Sequence[str], environment: Mapping[str, str], output: Path) -> str:
    """Return a launchd agent that runs `command`; see launchd.plist(5)."""
    job = {
        "Label": LABEL,
        "ProgramArguments": list(command),
        "EnvironmentVariables": dict(environment),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 30,
        "ExitTimeOut": _END_SECONDS,
        "ProcessType": "Interactive",
        "StandardErrorPath": str(output),
    }
    return plistlib.dumps(job, sort_keys=False).decode()


def _quoted(text: str) -> str:
    """Quote for systemd: specifiers doubled, and what its quotes give a meaning escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + escaped.replace("\n", "\\n") + '"'


def _quoted_argument(text: str) -> str:
    # Only in commands a dollar begins a variable.
    return _quoted(text).replace("$", "$$")
