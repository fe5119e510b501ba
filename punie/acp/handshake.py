"""What `initialize` tells: who the client is and what it can do, and what this agent can do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acp.schema import (
    AgentAuthCapabilities,
    AgentCapabilities,
    AuthMethodAgent,
    Implementation,
    InitializeResponse,
    LogoutCapabilities,
    McpCapabilities,
    PromptCapabilities,
    SessionAdditionalDirectoriesCapabilities,
    SessionCapabilities,
    SessionCloseCapabilities,
    SessionDeleteCapabilities,
    SessionForkCapabilities,
    SessionListCapabilities,
    SessionResumeCapabilities,
)

from punie import __version__

PROTOCOL_VERSION = 1
AUTH_METHOD = "local"
UNATTENDED = "punie.unattended"

# The version and the build branch of JetBrains IDEs that stumble over config options (LLM-28118).
_WITHOUT_CONFIG_OPTIONS = {"2026.1", "261"}


@dataclass(frozen=True)
class ClientProfile:
    """What is known of the client: its own words in `initialize`, and habits of its kind.

    `echoes` tells of a client that sends every option again before each prompt, changed or not;
    `attended` is False for one that says in its capabilities' `_meta` that nobody can answer.
    """

    name: str = ""
    jetbrains: bool = False
    reads_files: bool = False
    writes_files: bool = False
    terminals: bool = False
    elicitation_forms: bool = False
    boolean_options: bool = False
    notices: bool = False
    compaction: bool = False
    config_options: bool = True
    echoes: bool = False
    attended: bool = True


def read_profile(params: Mapping[str, Any]) -> ClientProfile:
    """Return the profile from the raw parameters; the SDK's models drop what is newer than they."""
    info = _object(params, "clientInfo")
    name = str(info.get("name") or "")
    jetbrains = name.startswith("JetBrains")
    capabilities = _object(params, "clientCapabilities")
    files = _object(capabilities, "fs")
    session = _object(capabilities, "session")
    return ClientProfile(
        name=name,
        jetbrains=jetbrains,
        reads_files=files.get("readTextFile") is True,
        writes_files=files.get("writeTextFile") is True,
        terminals=capabilities.get("terminal") is True,
        elicitation_forms=_offers(_object(capabilities, "elicitation"), "form"),
        boolean_options=_offers(_object(session, "configOptions"), "boolean"),
        notices=_offers(session, "notices"),
        compaction=_offers(session, "compaction"),
        config_options=not (jetbrains and _WITHOUT_CONFIG_OPTIONS & _versions(info)),
        echoes=jetbrains,
        attended=_object(capabilities, "_meta").get(UNATTENDED) is not True,
    )


def initialize_response(profile: ClientProfile) -> InitializeResponse:
    """Return the answer: always our own version, which is the newest stable one."""
    method = AuthMethodAgent(
        id=AUTH_METHOD,
        name="No sign-in",
        description="The model runs on this machine; there is nothing to sign in to.",
    )
    return InitializeResponse(
        protocol_version=PROTOCOL_VERSION,
        agent_info=Implementation(name="punie", title="Punie", version=__version__),
        agent_capabilities=AgentCapabilities(
            load_session=True,
            prompt_capabilities=PromptCapabilities(image=False, audio=False, embedded_context=True),
            mcp_capabilities=McpCapabilities(http=True, sse=True),
            session_capabilities=SessionCapabilities(
                list=SessionListCapabilities(),
                delete=SessionDeleteCapabilities(),
                additional_directories=SessionAdditionalDirectoriesCapabilities(),
                fork=SessionForkCapabilities(),
                resume=SessionResumeCapabilities(),
                close=SessionCloseCapabilities(),
            ),
            auth=AgentAuthCapabilities(logout=LogoutCapabilities()),
        ),
        # A JetBrains IDE would show a sign-in for it; the registry asks others to have one.
        auth_methods=[] if profile.jetbrains else [method],
    )


def _object(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def _offers(values: Mapping[str, Any], key: str) -> bool:
    # An empty object offers the capability; null and absence do not.
    return isinstance(values.get(key), dict)


def _versions(info: Mapping[str, Any]) -> set[str]:
    """Return the beginnings of the versions that the client names: `2026.1.2` has `2026.1`."""
    words = f"{info.get('title') or ''} {info.get('version') or ''}".replace("-", " ").split()
    parts = [word.split(".") for word in words]
    return {first for first, *_ in parts} | {".".join(part[:2]) for part in parts}
