"""Punie: a coding agent for JetBrains IDEs that runs wholly on the user's machine."""
