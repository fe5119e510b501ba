"""Starting a server that cannot start: the sentence has what it said."""

from pathlib import Path

import pytest

from punie.client.finding import ServerUnavailable, ensure_server
from punie.server.record import server_folder


@pytest.mark.anyio
async def test_what_a_server_said_that_did_not_start_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("stat_dir = 1")
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path))
    with pytest.raises(ServerUnavailable) as trouble:
        await ensure_server(tmp_path)
    assert str(trouble.value) == (
        f"The server did not start ({settings} sets 'stat_dir', which is no setting; did you mean "
        f"'state_dir'?); {server_folder(tmp_path) / 'output'} has all that it said."
    )
