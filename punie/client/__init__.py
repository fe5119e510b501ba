"""Thin clients of the server: no model, no agent, only the protocol's messages."""
