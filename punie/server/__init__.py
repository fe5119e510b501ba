"""The same agent over HTTP and WebSocket: one process and one model for many projects."""
