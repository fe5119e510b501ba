"""What rules are asked about besides themselves."""

import sys
from pathlib import Path

import pytest

from punie.agent.permissions.consulting import consult
from punie.agent.permissions.judging import Unruled
from punie.tools.write_file import WRITE_FILE
from punie.workspace.local import LocalWorkspace

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("below", "guarded"), [("lib/new.py", True), ("../app.py", False)])
async def test_what_punie_itself_runs_is_guarded(below: str, guarded: bool) -> None:
    # Where Punie is installed in the project's own environment, an edit there would run unasked.
    prefix = Path(sys.prefix)
    arguments = WRITE_FILE.arguments(path=str(prefix / below), content="")
    consulted = await consult(None, LocalWorkspace([prefix.parent]), WRITE_FILE, arguments)
    assert consulted.verdict == Unruled(guarded=guarded)
