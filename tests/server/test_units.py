import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from punie.server.units import launchd_plist, systemd_unit

ODD = ["/opt/a b/punie", "serve", "--model", '/m/$x %n "q" \\z']


def test_the_job_of_launchd_holds_the_command_as_it_is() -> None:
    job = plistlib.loads(launchd_plist(ODD, {"A": "b"}, Path("/state/output")).encode())
    assert job["ProgramArguments"] == ODD
    assert job["EnvironmentVariables"] == {"A": "b"}
    assert job["KeepAlive"] == {"SuccessfulExit": False}


def test_systemd_reads_what_is_special_to_it_as_text() -> None:
    unit = systemd_unit(ODD, {"PUNIE_CONFIG_DIR": "/c/50%"})
    expected = r'ExecStart="/opt/a b/punie" "serve" "--model" "/m/$$x %%n \"q\" \\z"'
    assert expected in unit.splitlines()
    assert 'Environment="PUNIE_CONFIG_DIR=/c/50%%"' in unit.splitlines()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "a b"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "punie.service"
    unit.write_text(systemd_unit([str(program), *ODD[1:]], {"A": "b c"}))
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)],
        env={"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
