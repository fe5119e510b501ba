"""Punie: a coding agent for JetBrains IDEs that runs wholly on the user's machine."""

__version__ = "0.1.0"
