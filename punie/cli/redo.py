"""`punie redo`: the other way of `punie undo`."""

from punie.cli.undo import redo_main as main

__all__ = ["main"]
