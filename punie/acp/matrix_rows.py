"""What the protocol has, row by row, and what Punie makes of it; see `punie.acp.matrix`.

Of a row that is not supported the text gives the reason. Whether it is supported is not said here:
that is read from the code.
"""

AGENT_METHODS = {
    "initialize": "Answered with version 1 before anything heavy is imported; may come again",
    "authenticate": "There is nothing to sign in to; the one method `local` is always taken",
    "logout": "Always succeeds: nobody is signed in and nothing is kept of anyone",
    "session/new": "The folder must exist; further roots and MCP servers are taken",
    "session/load": "Shows the whole conversation again; mode, options and memory are as they were",
    "session/resume": "As load, with nothing shown",
    "session/list": "Exactly the folder's sessions, newest first, 50 to a page",
    "session/close": "A running turn ends `cancelled`, all it held is let go, the history stays",
    "session/delete": "For good; a session that is not there is no error",
    "session/prompt": "One turn at a time in a session; a second prompt meanwhile is refused",
    "session/cancel": "The prompt answers `cancelled`; between turns it does nothing",
    "session/set_mode": "`ask`, `accept_edits`, `plan` or `auto`, in the middle of a turn too",
    "session/set_config_option": "Returns all options; an unchanged value costs nothing",
    "$/cancel_request": "A prompt answers `cancelled`, any other request -32800; also as "
    "`$/cancelRequest`, as older JetBrains IDEs write it",
}

CLIENT_METHODS = {
    "session/update": "See the updates below",
    "session/request_permission": "Carries the whole call with its diff; has no time limit",
    "fs/read_text_file": "Files are read as the editor has them, unsaved changes included",
    "fs/write_text_file": "Edits go through the editor; where it fails, to the disk with a note",
    "terminal/create": "Commands run in the client's terminal where it offers one, else locally",
    "terminal/output": "The output of a command, for the model",
    "terminal/wait_for_exit": "The end of a command",
    "terminal/kill": "A command that takes too long or whose turn is cancelled",
    "terminal/release": "Always, when a command has ended",
    "elicitation/create": "A question of the model as a form; else as a permission question",
    "elicitation/complete": "Belongs to questions answered on a web page; Punie has no such page",
    "$/cancel_request": "A question that nobody waits for any more is withdrawn",
}

UPDATES = {
    "user_message_chunk": "Only when a session is loaded",
    "agent_message_chunk": "Joined while it streams, with one id a message",
    "agent_thought_chunk": "As the answer; also what is said beside it, such as loading a model",
    "tool_call": "As `pending` while it is written; whole with places, arguments and diff",
    "tool_call_update": "Growing arguments, `in_progress`, growing output, the end",
    "plan": "The model's steps, the whole list each time",
    "available_commands_update": "The slash commands, after the answer that opens a session",
    "current_mode_update": "When the mode was changed by other means than `session/set_mode`",
    "config_option_update": "When an option was changed by other means than setting it",
    "session_info_update": "The title, after the first exchange",
    "usage_update": "How full the model's window is, after each model call",
    "notice": "What is no part of the answer, such as trouble with a model; else in the chat",
    "compaction_update": "When older messages left the model's window; else said as a thought",
    "compaction_summary_chunk": "The summary is one sentence and goes into `compaction_update`",
}

AGENT_CAPABILITIES = {
    "loadSession": "Sessions are stored while they run, so a killed process loses nothing",
    "promptCapabilities.image": "The models that Punie runs read text only",
    "promptCapabilities.audio": "The models that Punie runs read text only",
    "promptCapabilities.embeddedContext": "Files and selections that the IDE attaches",
    "mcpCapabilities.http": "Besides stdio, which needs no capability",
    "mcpCapabilities.sse": "Besides stdio, which needs no capability",
    "sessionCapabilities.list": "`session/list`",
    "sessionCapabilities.delete": "`session/delete`",
    "sessionCapabilities.resume": "`session/resume`",
    "sessionCapabilities.close": "`session/close`",
    "sessionCapabilities.additionalDirectories": "Further roots for reading and editing",
    "auth.logout": "`logout`",
}

CLIENT_CAPABILITIES = {
    "fs.readTextFile": "`fs/read_text_file`; else the disk",
    "fs.writeTextFile": "`fs/write_text_file`; else the disk",
    "terminal": "`terminal/*`; else local processes",
    "session.configOptions.boolean": "Thinking as a switch, unless it has levels; else as a list",
    "session.notices": "`notice`",
    "session.compaction": "`compaction_update`",
    "elicitation.form": "`elicitation/create`",
    "elicitation.url": "Punie has no web page to send anybody to",
    "auth.terminal": "There is nothing to sign in to",
}

DRAFT = {
    "session/fork": "The history under a new id; capability `sessionCapabilities.fork`",
    "session/archive": "Not stable yet",
    "session/unarchive": "Not stable yet",
    "session/status": "Not stable yet",
    "session/set_title": "Not stable yet",
    "auth/status": "There is nothing to sign in to",
    "auth/status_update": "There is nothing to sign in to",
    "providers/list": "Models run on this machine",
    "providers/set": "Models run on this machine",
    "providers/disable": "Models run on this machine",
    "mcp/message": "Not stable yet; MCP servers are reached directly",
    "proxy/initialize": "For proxies, not for agents",
    "proxy/successor": "For proxies, not for agents",
}
"""Methods of the unstable schema."""

SENSELESS = frozenset(
    {
        "elicitation/complete",
        "compaction_summary_chunk",
        "promptCapabilities.image",
        "promptCapabilities.audio",
        "elicitation.url",
        "auth.terminal",
    }
)
"""The rows of the stable protocol that make no sense for this agent; their texts say why."""
