"""`punie acp`: what the IDE launches. Parsed without typer, to start as light as it can."""

import sys
from collections.abc import Sequence
from typing import Any


def main(arguments: Sequence[str]) -> int:
    """Serve ACP on stdin and stdout until the client goes away; return the exit code."""
    flags = _flags(arguments) if arguments else {}
    from punie.cli.engine import is_shared
    from punie.settings import SettingsError, load_settings

    try:
        settings = load_settings(**flags)
    except SettingsError as error:
        print(f"punie: {error}", file=sys.stderr)
        return 2
    if is_shared(settings):
        from punie.client.bridge import serve_bridge

        return serve_bridge(settings.state_dir, settings.of_client())
    from punie.acp.serve import serve
    from punie.logs.setup import configure_logging

    configure_logging(settings.state_dir, settings.log_level, None, "acp")
    return serve(settings)


def _flags(arguments: Sequence[str]) -> dict[str, Any]:
    # Not at the top: the usual start has no flags.
    import argparse

    parser = argparse.ArgumentParser(
        prog="punie acp", description="Serve the Agent Client Protocol on stdin and stdout."
    )
    parser.add_argument("--model", help="model of new sessions: a name, a folder or a hub id")
    parser.add_argument("--mode", help="mode of new sessions: ask, accept_edits, plan or auto")
    parser.add_argument("--state-dir", help="folder of sessions and logs")
    parser.add_argument("--log-level", help="DEBUG, INFO, WARNING or ERROR")
    engine = parser.add_mutually_exclusive_group()
    engine.add_argument(
        "--shared",
        action="store_const",
        dest="engine",
        const="shared",
        help="use the model of this user's server (punie serve), which is started if need be",
    )
    engine.add_argument(
        "--in-process",
        action="store_const",
        dest="engine",
        const="in-process",
        help="have a model in this process",
    )
    return vars(parser.parse_args(arguments))
