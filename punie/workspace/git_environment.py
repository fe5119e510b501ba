"""Running git so that nothing which a repository configures runs along with it.

Filters that a repository names are not among this, see `punie.tools.git.repository`.
"""

import os
from collections.abc import Mapping

FIXED_SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",
    "log.showSignature": "false",
    "safe.bareRepository": "explicit",
}
_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    # Objects that a partial clone lacks would be fetched, by whatever program the remote names.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_PAGER": "cat",
    "LC_ALL": "C",
    "LANGUAGE": "C",
}


def git_environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that git runs with; `settings` override those of the repository.

    Settings go through the environment, where a name may hold any character: `-c` would split the
    name of a filter called "a=b" in the wrong place and leave that filter on.
    """
    every = {**FIXED_SETTINGS, **(settings or {})}
    environment = {**_ENVIRONMENT, "GIT_CONFIG_COUNT": str(len(every))}
    for number, (key, value) in enumerate(every.items()):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment
