from pathlib import Path

import pytest

from punie.models.options import engine_options
from punie.settings import (
    Settings,
    SettingsError,
    config_dir,
    environment_of_server,
    load_settings,
    store_user_setting,
    user_setting,
    user_settings_file,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PUNIE_{name.upper()}", raising=False)
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path / "config"))
    (tmp_path / "config").mkdir()
    return tmp_path


def project_with(home: Path, text: str) -> Path:
    folder = home / "project"
    (folder / ".punie").mkdir(parents=True)
    (folder / ".punie" / "settings.toml").write_text(text, encoding="utf-8")
    return folder


def test_defaults_without_any_file() -> None:
    settings = load_settings()
    assert settings.model is None
    assert settings.mode == "ask"
    assert settings.state_dir.is_absolute()
    assert settings.state_dir.name == "punie"


def test_each_layer_wins_over_the_one_before(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_settings_file().write_text(
        "max_tokens = 1\nmax_requests = 1\ncommand_timeout = 1\nmodel = 'user'\n", encoding="utf-8"
    )
    project = project_with(home, "max_tokens = 2\nmax_requests = 2\ncommand_timeout = 2\n")
    monkeypatch.setenv("PUNIE_MAX_TOKENS", "3")
    monkeypatch.setenv("PUNIE_MAX_REQUESTS", "3")
    settings = load_settings(project, max_tokens=4, temperature=None)
    assert settings.model == "user"
    assert settings.command_timeout == 2
    assert settings.max_requests == 3
    assert settings.max_tokens == 4


def test_for_project_keeps_the_flags(home: Path) -> None:
    project = project_with(home, "max_tokens = 2\nmax_requests = 2\n")
    settings = load_settings(max_tokens=4).for_project(project)
    assert (settings.max_tokens, settings.max_requests) == (4, 2)


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUNIE_MODE", "")
    assert load_settings().mode == "ask"


def test_level_in_any_case_and_home_in_paths(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home))
    settings = load_settings(log_level="debug", state_dir="~/state")
    assert settings.log_level == "DEBUG"
    assert settings.state_dir == home / "state"


def test_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUNIE_MAX_TOKENS", "0")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == (
        "PUNIE_MAX_TOKENS in the environment is '0', but it should be greater than or equal to 1."
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("command_timeout = 'x'", "is 'x', but it should be a number."),
        ("max_requests = 1.5", "is 1.5, but it should be a whole number."),
        ("sandbox_network = 'perhaps'", "is 'perhaps', but it should be true or false."),
        ("model = 3", "is 3, but it should be a text in quotes."),
        ("sandbox_write = 3", "is 3, but it should be a list."),
    ],
)
def test_wrong_kinds_of_values_are_told_in_plain_words(line: str, told: str) -> None:
    user_settings_file().write_text(line, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).endswith(told)


def test_unknown_key_suggests_the_right_one() -> None:
    user_settings_file().write_text("modell = 'x'\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="'modell', which is no setting; did you mean 'model'"):
        load_settings()


def test_broken_file_names_line_and_column() -> None:
    user_settings_file().write_text("mode = 'ask'\nmodel = = 1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="line 2, column 9"):
        load_settings()


def test_not_text() -> None:
    user_settings_file().write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load_settings()


def test_a_folder_in_place_of_the_file() -> None:
    user_settings_file().mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings()


@pytest.mark.parametrize("mode", ["auto", "accept_edits"])
def test_a_project_cannot_switch_the_questions_off(home: Path, mode: str) -> None:
    project = project_with(home, f"mode = '{mode}'\n")
    with pytest.raises(SettingsError, match="a project may only choose ask or plan"):
        load_settings(project)


def test_a_project_may_be_stricter(home: Path) -> None:
    assert load_settings(project_with(home, "mode = 'plan'\n")).mode == "plan"


@pytest.mark.parametrize(
    "line",
    [
        "state_dir = '/tmp/x'",
        "draft_model = '/tmp/x'",
        "memory_gb = 1000.0",
        "idle_minutes = 0",
        "prefix_cache_gb = 1000.0",
        "openai_url = 'http://192.0.2.1/v1'",
        "openai_key_file = '/tmp/x'",
        "openai_context = 4096",
        "web_fetch = true",
        "web_fetch_private = true",
        "sandbox = 'off'",
        "sandbox_network = true",
        "sandbox_write = ['/tmp/x']",
    ],
)
def test_a_project_cannot_touch_what_all_projects_share(home: Path, line: str) -> None:
    name = line.partition(" ")[0]
    with pytest.raises(SettingsError, match=f"'{name}', which only your own settings file"):
        load_settings(project_with(home, line + "\n"))
    user_settings_file().write_text(line + "\n", encoding="utf-8")
    assert name in load_settings().model_fields_set


def test_folders_of_the_sandbox(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_settings_file().write_text("sandbox_write = ['~/data', '/srv']\n", encoding="utf-8")
    assert load_settings().sandbox_write == (Path.home() / "data", Path("/srv"))
    monkeypatch.setenv("PUNIE_SANDBOX_WRITE", "/one:/two")
    assert load_settings().sandbox_write == (Path("/one"), Path("/two"))


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("SANDBOX", "none", "'on', 'always' or 'off'"),
        ("SANDBOX_WRITE", "data", "neither absolute nor in the home folder"),
        ("MEMORY_GB", "0", "greater than 0"),
        ("MEMORY_GB", "much", "a number"),
        ("IDLE_MINUTES", "-1", "greater than or equal to 0"),
        ("PREFIX_CACHE_GB", "-0.5", "greater than or equal to 0"),
    ],
)
def test_what_bounds_the_engine_is_checked(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, fault: str
) -> None:
    monkeypatch.setenv(f"PUNIE_{name}", value)
    with pytest.raises(SettingsError, match=f"PUNIE_{name} in the environment .* {fault}"):
        load_settings()


def test_what_bounds_the_engine_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "MEMORY_GB": "12.5",
        "IDLE_MINUTES": "0.5",
        "PREFIX_CACHE_GB": "0",
        "DRAFT_MODEL": "org/name",
    }.items():
        monkeypatch.setenv(f"PUNIE_{name}", value)
    options = engine_options(load_settings())
    assert options.memory_limit == 12_500_000_000
    assert options.idle_seconds == 30
    assert options.prefix_directory is None
    assert options.draft_model == "org/name"
    monkeypatch.setenv("PUNIE_IDLE_MINUTES", "0")
    assert engine_options(load_settings()).idle_seconds is None


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        (" https://Models.example.com/v1/ ", "https://Models.example.com/v1"),
        ("http://[::1]:1234/api/v3", "http://[::1]:1234/api/v3"),
    ],
)
def test_a_server_is_named_by_its_base_url(
    monkeypatch: pytest.MonkeyPatch, given: str, taken: str
) -> None:
    monkeypatch.setenv("PUNIE_OPENAI_URL", given)
    monkeypatch.setenv("PUNIE_OPENAI_CONTEXT", "40960")
    monkeypatch.setenv("PUNIE_OPENAI_KEY_FILE", "~/key")
    endpoint = engine_options(load_settings()).endpoint
    assert endpoint is not None
    assert (endpoint.url, endpoint.context) == (taken, 40_960)
    assert endpoint.key_file == Path.home() / "key"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("127.0.0.1:8080", "should be the address of a server, such as http"),
        ("ftp://models.example.com", "should be the address of a server"),
        ("http://models.example.com:eighty", "should be the address of a server"),
        ("https://me:s3cret@models.example.com/v1", "its key belongs into PUNIE_OPENAI_KEY"),
        ("https://models.example.com/v1?key=s3cret", "its key belongs into PUNIE_OPENAI_KEY"),
    ],
)
def test_an_address_that_is_none_or_holds_a_key_is_refused(
    monkeypatch: pytest.MonkeyPatch, url: str, fault: str
) -> None:
    monkeypatch.setenv("PUNIE_OPENAI_URL", url)
    with pytest.raises(SettingsError, match="PUNIE_OPENAI_URL in the environment .*" + fault) as no:
        load_settings()
    assert "s3cret" not in str(no.value)


def test_a_project_does_not_send_what_is_said_to_a_server(home: Path) -> None:
    user_settings_file().write_text("openai_url = 'http://127.0.0.1:8080/v1'\n", encoding="utf-8")
    project = project_with(home, "model = 'org/x'\n")
    assert load_settings(project).openai_url is not None
    assert load_settings(project, model="openai:x").model == "openai:x"
    for reference in ("openai:x", " openai:x"):
        (project / ".punie" / "settings.toml").write_text(f"model = '{reference}'\n")
        with pytest.raises(SettingsError, match=f"sets model to '{reference}', but .* yours to"):
            load_settings(project)


def test_one_setting_is_stored_and_the_rest_kept() -> None:
    path = user_settings_file()
    assert store_user_setting("model", "org/name") == path
    assert path.read_text() == 'model = "org/name"\n'
    path.write_text('# first\nmax_tokens = 9 # few\n\nmodel = "a"\n# last\n')
    store_user_setting("model", 'q"uote')
    assert path.read_text() == '# first\nmax_tokens = 9 # few\n\nmodel = "q\\"uote"\n# last\n'
    assert load_settings().model == 'q"uote'
    assert user_setting("model") == 'q"uote'
    store_user_setting("model", None)
    assert path.read_text() == "# first\nmax_tokens = 9 # few\n\n# last\n"
    assert user_setting("model") is None
    store_user_setting("model", None)
    assert [file.name for file in path.parent.iterdir()] == ["settings.toml"]


def test_a_file_that_is_broken_or_closed_is_not_written_over(tmp_path: Path) -> None:
    path = user_settings_file()
    path.write_text("mode = 'wild'\nnonsense = 1\n")
    with pytest.raises(SettingsError, match="nonsense"):
        store_user_setting("model", "a")
    assert path.read_text() == "mode = 'wild'\nnonsense = 1\n"
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("in the way")
    with pytest.raises(SettingsError, match="cannot be written"):
        store_user_setting("model", "a")


def test_what_a_client_has_set_for_itself_reaches_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PUNIE_MODE", "plan")
    monkeypatch.setenv("PUNIE_MEMORY_GB", "8")
    monkeypatch.setenv("PUNIE_SANDBOX_WRITE", f"{tmp_path}:/b")
    ours = load_settings(model="org/ours", state_dir=tmp_path, engine="shared").of_client()
    assert ours == {
        "config_dir": str(config_dir()),
        "mode": "plan",
        "model": "org/ours",
        "sandbox_write": f"{tmp_path}:/b",
    }
    monkeypatch.delenv("PUNIE_MODE")
    monkeypatch.delenv("PUNIE_SANDBOX_WRITE")
    server = load_settings(model="org/server", temperature=0.5)
    taken = server.for_client(ours)
    assert (taken.mode, taken.model, taken.temperature) == ("plan", "org/ours", 0.5)
    assert taken.sandbox_write == (tmp_path, Path("/b"))
    assert taken.for_project(tmp_path).model == "org/ours"


@pytest.mark.parametrize("name", ["state_dir", "memory_gb", "engine", "nothing"])
def test_a_client_cannot_set_what_the_process_has_once(name: str) -> None:
    with pytest.raises(SettingsError, match=f"'{name}' is nothing that a client can set"):
        load_settings().for_client({name: "1"})


def test_a_client_whose_settings_lie_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = load_settings().of_client()
    monkeypatch.setenv("PUNIE_CONFIG_DIR", "/another")
    with pytest.raises(SettingsError, match="has its settings in /another, this client in "):
        load_settings().for_client(ours)


def test_a_server_is_not_started_with_what_one_client_has_set() -> None:
    given = {"PATH": "/bin", "PUNIE_MODEL": "x", "PUNIE_MEMORY_GB": "8", "PUNIE_CONFIG_DIR": "/c"}
    assert environment_of_server(given) == {
        "PATH": "/bin",
        "PUNIE_MEMORY_GB": "8",
        "PUNIE_CONFIG_DIR": "/c",
    }
