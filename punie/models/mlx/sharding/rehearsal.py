"""Joins a ring in a process of its own, to see whether the machines reach one another.

A process that joins for good is frozen, with all its threads, until its neighbours are there.
"""

import json
import sys

import mlx.core as mx

from punie.models.mlx.sharding.ring import join_ring


def main() -> int:
    """Take part in one sum over the ring; the exit code is 0 when it is right."""
    ring, rank = json.loads(sys.argv[1]), int(sys.argv[2])
    group = join_ring(ring, rank)
    return int(mx.distributed.all_sum(mx.array(1), stream=mx.cpu).item() != group.size())


if __name__ == "__main__":
    sys.exit(main())
