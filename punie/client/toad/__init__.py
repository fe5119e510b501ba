"""A client for front ends, such as terminal programs in the manner of Toad, and web pages' servers.

`create_toad_session` and `send_prompt_stream` are for those that hold the threads themselves,
`run_toad_client` keeps a session open whatever happens. docs/server.md shows both.
"""

from punie.client.acp_socket import ConnectionLost, RequestFailed
from punie.client.finding import ServerUnavailable
from punie.client.toad.callbacks import Callbacks, ConnectionChange, PermissionQuestion
from punie.client.toad.connection import (
    ToadConnection,
    cancel_prompt,
    create_toad_session,
    send_prompt_stream,
)
from punie.client.toad.loop import Backoff, ToadClient, run_toad_client
from punie.client.toad.tool_calls import KnownCalls, ToolCallData, handle_tool_update

__all__ = [
    "Backoff",
    "Callbacks",
    "ConnectionChange",
    "ConnectionLost",
    "KnownCalls",
    "PermissionQuestion",
    "RequestFailed",
    "ServerUnavailable",
    "ToadClient",
    "ToadConnection",
    "ToolCallData",
    "cancel_prompt",
    "create_toad_session",
    "handle_tool_update",
    "run_toad_client",
    "send_prompt_stream",
]
