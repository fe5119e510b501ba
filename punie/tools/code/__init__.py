"""Code mode: the model calls the tools from Python code, which runs in a sandbox."""
