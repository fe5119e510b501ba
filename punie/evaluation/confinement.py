"""How programs run that a model under test wrote or asked for."""

from punie.workspace.sandbox.view import SandboxOptions

CONFINED = SandboxOptions(wanted="always")
"""Nobody watches what a model under test runs, so it runs in a sandbox."""
