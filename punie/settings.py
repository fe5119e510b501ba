"""One typed settings object: user file < project file < environment < command line flags.

It is a plain pydantic model with a small loader, because importing pydantic-settings would cost
the start of `punie acp` more than everything else in this file together.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_config_path, user_state_path
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
)

from punie.plain_files import read_plain

PREFIX = "PUNIE_"
_MOST_BYTES = 1 << 20
FILE_NAME = "settings.toml"
# A cloned repository must not be able to switch permission questions off or move the user's data.
_MODES_OF_A_PROJECT = frozenset({"ask", "plan"})
# What one process has once, whatever its clients say.
_OF_THE_PROCESS = frozenset(
    {
        "state_dir",
        "log_level",
        "draft_model",
        "memory_gb",
        "idle_minutes",
        "prefix_cache_gb",
        "server_idle_minutes",
        "engine",
        "openai_url",
        "openai_key_file",
        "openai_context",
    }
)
# Nor to fill the memory or the disk: what all projects share is the user's.
_NOT_OF_A_PROJECT = (_OF_THE_PROCESS - {"log_level"}) | {
    # What leaves the machine is the user's to decide.
    "web_fetch",
    "web_fetch_private",
    # Nor may it open what its own commands are confined in.
    "sandbox",
    "sandbox_network",
    "sandbox_write",
    # Nor what becomes of the user's conversations.
    "learn_from_sessions",
}
# Neither a variable that something else has set counts as the user's yes.
_OF_THE_USERS_FILE = frozenset({"learn_from_sessions"})

_CONFIG_DIR = "config_dir"


# What pydantic says of these is about its parsing.
_IN_PLAIN_WORDS = {
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "string_type": "should be a text in quotes",
    "tuple_type": "should be a list",
    "list_type": "should be a list",
}


class SettingsError(Exception):
    """A setting is wrong; the message is one sentence that names it and where it stands."""


def _default_state_dir() -> Path:
    return user_state_path("punie", appauthor=False)


class Settings(BaseModel):
    """What can be set. Field names are the keys of the files; in the environment `PUNIE_MODEL`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = None
    """Reference of the model; None is the bundled one."""
    mode: Literal["ask", "accept_edits", "plan", "auto"] = "ask"
    """The permission mode that new sessions start in."""
    state_dir: Path = Field(default_factory=_default_state_dir)
    """Absolute folder of sessions and logs."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    command_timeout: float = Field(default=120.0, gt=0)
    """Seconds that a command run by the model may take."""
    max_requests: int = Field(default=50, ge=1)
    """Model calls in one turn."""
    max_tokens: int = Field(default=4096, ge=1)
    """Tokens in one response of the model."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    result_chars: int | None = Field(default=None, ge=200)
    """Characters of one tool result that the model reads; None leaves it to the model's window."""
    guide_tokens: int = Field(default=600, ge=0)
    """Tokens, about, that the model is told of each AGENTS.md; 0 for none."""
    code_mode: bool = False
    """Whether the model calls the tools from Python code that it writes, not one by one."""

    web_fetch: bool = False
    """Whether the model may ask to fetch pages of the web."""
    web_fetch_private: bool = False
    """Whether these may be on this machine or in the network around it."""

    sandbox: Literal["on", "always", "off"] = "on"
    """Whether commands run confined; with always auto mode asks too before one runs outside."""
    sandbox_network: bool = False
    """Whether confined commands reach the network."""
    sandbox_write: tuple[Path, ...] = ()
    """More folders in which they may write; in the environment separated as in PATH."""

    draft_model: str | None = None
    """Reference of a small model with the same tokens, whose guesses make a large one faster."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Gigabytes that models may take; None leaves it to the machine."""
    idle_minutes: float = Field(default=30.0, ge=0)
    """Minutes without a request after which a model's memory is released; 0 keeps it."""
    prefix_cache_gb: float = Field(default=8.0, ge=0)
    """Gigabytes on disk for what models have read of prompts, for the next start; 0 for none."""
    openai_url: str | None = None
    """Base URL of the OpenAI-compatible server that has the models named openai:NAME."""
    openai_key_file: Path | None = None
    """File with that server's key, which only you can read; PUNIE_OPENAI_KEY goes before it."""
    openai_context: int | None = Field(default=None, ge=1024)
    """Tokens that its models read, where the server does not tell."""
    server_idle_minutes: float = Field(default=30.0, ge=0)
    """Minutes without a client after which `punie serve` ends by itself; 0 lets it stay."""

    learn_from_sessions: bool = False
    """Whether commands that are asked to may make training examples of the sessions; only the
    user's own file can say so."""

    engine: Literal["in-process", "shared", "auto"] = "auto"
    """Whether `punie acp` has a model of its own or uses the server's; auto shares large ones."""

    _flags: dict[str, Any] = PrivateAttr(default_factory=dict)

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("openai_url", mode="after")
    @classmethod
    def _base_url(cls, value: str | None) -> str | None:
        return None if value is None else server_url(value)

    @field_validator("openai_key_file", mode="after")
    @classmethod
    def _absolute_file(cls, value: Path | None) -> Path | None:
        return None if value is None else cls._absolute(value)

    @field_validator("state_dir", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        try:
            return value.expanduser().absolute()
        except RuntimeError as error:
            raise ValueError("names a home folder that is not known") from error

    @field_validator("sandbox_write", mode="before")
    @classmethod
    def _folders(cls, value: Any) -> Any:
        return (
            [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value
        )

    @field_validator("sandbox_write", mode="after")
    @classmethod
    def _absolute_folders(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        if not all(path.is_absolute() or str(path).startswith("~") for path in value):
            raise ValueError("names a folder that is neither absolute nor in the home folder")
        return tuple(map(cls._absolute, value))

    @property
    def sessions_file(self) -> Path:
        """The database of all sessions."""
        return self.state_dir / "sessions.sqlite3"

    @property
    def tracker_file(self) -> Path:
        """The database of all evaluations."""
        return self.state_dir / "evaluation.sqlite3"

    def checkpoints_folder(self, session_id: str) -> Path:
        """Return the folder of what a session's changes replaced; any text may be its id."""
        name = session_id
        if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", session_id):
            name = hashlib.sha256(session_id.encode("utf-8", "replace")).hexdigest()
        return self.state_dir / "checkpoints" / name

    def for_client(self, values: Mapping[str, str]) -> "Settings":
        """Load again with what a client of this process has set for itself.

        Raises `SettingsError`, also if the client's settings lie elsewhere: what the user allowed
        or forbade there would not hold here.
        """
        own = dict(values)
        theirs = own.pop(_CONFIG_DIR, str(config_dir()))
        if theirs != str(config_dir()):
            raise SettingsError(
                f"The server that runs has its settings in {config_dir()}, this client in "
                f"{theirs}; use the same folder, another state_dir or `--in-process`."
            )
        for name in own:
            if name not in Settings.model_fields or name in _OF_THE_PROCESS:
                raise SettingsError(f"{name!r} is nothing that a client can set.")
        return load_settings(**{**self._flags, **own})

    def of_client(self) -> dict[str, str]:
        """Return what flags and environment set for this client alone, for a server to know."""
        given = {**_read_environment(), **{name: str(value) for name, value in self._flags.items()}}
        own = {name: value for name, value in given.items() if name not in _OF_THE_PROCESS}
        return {_CONFIG_DIR: str(config_dir()), **own}

    def for_project(self, project: Path) -> "Settings":
        """Load again with the project's own file taken in, under the same flags."""
        return load_settings(project, **self._flags)


def config_dir() -> Path:
    """Return the folder of the user's settings file; `PUNIE_CONFIG_DIR` overrides it."""
    chosen = os.environ.get(PREFIX + "CONFIG_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return user_config_path("punie", appauthor=False)


def user_settings_file() -> Path:
    """Return the path of the user's settings file, which need not exist."""
    return config_dir() / FILE_NAME


def environment_of_server(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what is set in it for one client alone."""
    ours = {PREFIX + name.upper() for name in Settings.model_fields if name not in _OF_THE_PROCESS}
    return {name: value for name, value in environment.items() if name not in ours}


def load_settings(project: Path | None = None, **flags: Any) -> Settings:
    """Read the settings that hold for `project`; a flag that is None was not given.

    Raises `SettingsError` with one sentence that names the fault and where it is.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}

    def take(layer: Mapping[str, Any], where: str) -> None:
        values.update(layer)
        origin.update(dict.fromkeys(layer, where))

    user_file = user_settings_file()
    take(_read_file(user_file), str(user_file))
    if project is not None:
        project_file = project / ".punie" / FILE_NAME
        layer = _read_file(project_file)
        _refuse_what_a_project_may_not_set(layer, project_file)
        take(layer, str(project_file))
    take(_read_environment(), "the environment")
    take(given, "the command line")
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_sentence(error, origin)) from None
    settings._flags = given
    return settings


def user_setting(name: str) -> Any:
    """Return what the user's own file sets, None if it says nothing; raise `SettingsError`."""
    return _read_file(user_settings_file()).get(name)


def store_user_setting(name: str, value: str | None) -> Path:
    """Write one setting into the user's own file and return its path; None takes it out.

    Comments and order are kept, and the file is replaced in one step. Raises `SettingsError` if
    the file cannot be read or written.
    """
    path = user_settings_file()
    # A link, as those who keep their settings elsewhere have it, stays a link.
    target = path.resolve()
    _read_file(path)  # What is wrong in it is told, not written over.
    import tomlkit

    try:
        document = tomlkit.parse(target.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        document = tomlkit.document()
    if value is None:
        document.pop(name, None)
    else:
        document[name] = value
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(tomlkit.dumps(document))
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, unfinished)
        unfinished.replace(target)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise SettingsError(f"{path} cannot be written: {error.strerror}.") from None
    return path


def server_url(text: str) -> str:
    """Return a server's base URL without a slash at its end; without a path it is /v1.

    Raises `ValueError`, whose words go on behind what names the URL.
    """
    # Not at the top: most settings name no server.
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise ValueError("should be the address of a server, such as http://127.0.0.1:8080/v1")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(
            "should name the server only; its key belongs into PUNIE_OPENAI_KEY or openai_key_file"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}"


def _read_file(path: Path) -> dict[str, Any]:
    try:
        raw = read_plain(path, _MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from None
    # Not at the top: most starts find no file, and the IDE waits for each.
    import tomllib

    try:
        values = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.") from None
    for name in values:
        if name not in Settings.model_fields:
            raise SettingsError(f"{path} sets {name!r}, which is no setting; {_similar(name)}")
    return values


def _similar(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, Settings.model_fields, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are {', '.join(Settings.model_fields)}."


def _refuse_what_a_project_may_not_set(layer: Mapping[str, Any], path: Path) -> None:
    for name in _NOT_OF_A_PROJECT & layer.keys():
        who = "your own settings file"
        if name not in _OF_THE_USERS_FILE:
            who += ", the environment or a flag"
        raise SettingsError(f"{path} sets {name!r}, which only {who} may set.")
    if str(layer.get("model", "")).strip().startswith("openai:"):
        raise SettingsError(
            f"{path} sets model to {layer['model']!r}, but what is sent to a server is yours to "
            "decide; choose it in your own settings file, in the IDE or with --model."
        )
    if "mode" in layer and layer["mode"] not in _MODES_OF_A_PROJECT:
        raise SettingsError(
            f"{path} sets mode to {layer['mode']!r}, but a project may only choose ask or plan; "
            "choose the others yourself, in the IDE or with --mode."
        )


def _read_environment() -> dict[str, str]:
    names = [name for name in Settings.model_fields if name not in _OF_THE_USERS_FILE]
    found = {name: os.environ.get(PREFIX + name.upper()) for name in names}
    return {name: value for name, value in found.items() if value}


def _sentence(error: ValidationError, origin: Mapping[str, str]) -> str:
    fault = error.errors(include_url=False, include_context=False)[0]
    name = str(fault["loc"][0]) if fault["loc"] else "a setting"
    where = origin.get(name, "the command line")
    label = PREFIX + name.upper() if where == "the environment" else name
    message = _IN_PLAIN_WORDS.get(fault["type"]) or fault["msg"].removeprefix(
        "Value error, "
    ).removeprefix("Input ")
    if name == "openai_url":
        return f"{label} in {where} {message}."  # A password may stand in it.
    return f"{label} in {where} is {fault['input']!r}, but it {message}."
