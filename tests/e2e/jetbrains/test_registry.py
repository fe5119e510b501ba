"""What the agent registry checks before it lists an agent, asked of the installed command."""

import json
import os
import subprocess
from pathlib import Path

from tests.e2e.client import COMMAND

ENTRY = Path(__file__).parents[3] / "jetbrains-config" / "punie" / "agent.json"
SECONDS = 120
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": 1,
        "clientInfo": {"name": "registry-check", "version": "1"},
        "clientCapabilities": {
            "fs": {"readTextFile": True, "writeTextFile": True},
            "terminal": True,
            "_meta": {"terminal_output": True, "terminal-auth": True},
        },
    },
}


def test_the_first_line_is_an_answer_with_a_way_to_sign_in(tmp_path: Path) -> None:
    # The command is what the entry starts: the script of the package's own name with its `args`.
    arguments = json.loads(ENTRY.read_text(encoding="utf-8"))["distribution"]["uvx"]["args"]
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb"}
    process = subprocess.Popen(
        [COMMAND, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=tmp_path,
    )
    try:
        line = json.dumps(INITIALIZE).encode() + b"\n"
        output, errors = process.communicate(line, timeout=SECONDS)
    finally:
        process.kill()
    answer = json.loads(output.splitlines()[0])
    assert answer["id"] == 1
    result = answer["result"]
    assert result["protocolVersion"] == 1
    types = {method.get("type", "agent") for method in result["authMethods"]}
    assert types & {"agent", "terminal"}
    assert all(method["id"] and method["name"] for method in result["authMethods"])
    # A clean exit, with nothing else said on either side.
    assert process.returncode == 0
    assert len(output.splitlines()) == 1
    assert errors == b""
