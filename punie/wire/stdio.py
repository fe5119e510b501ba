"""Takes stdin and stdout for the protocol, so that nothing else can write or read there."""

import os
import sys
from typing import NamedTuple


class ProtocolFiles(NamedTuple):
    """The private file descriptors that carry the protocol; children do not inherit them."""

    incoming: int
    outgoing: int


def take_stdio() -> ProtocolFiles:
    """Move the protocol to descriptors of our own.

    From here on fd 0 is empty and fd 1 is stderr, for this process (`print`) and for every child
    that inherits them by mistake.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:
        # Started without a stderr: what is printed goes nowhere.
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
    os.close(nothing)
    if sys.stderr is not None:
        sys.stdout = sys.stderr
    return ProtocolFiles(incoming, outgoing)
