"""What MLX's launcher starts on each machine: it starts the follower proper and ends.

The launcher looks at its programs without a pause, so it should not have to stay. The follower
lives as long as its connection to the machine that leads.
"""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def main() -> None:
    """Hand the orders on standard input to a process that stays when this one's terminal goes."""
    orders = sys.stdin.readline()
    with suppress(KeyError, OSError):
        Path(os.environ.pop("MLX_HOSTFILE")).unlink()  # one without the machine that leads
    follower = subprocess.Popen(
        # The argument only tells whoever looks at the processes where it belongs.
        [sys.executable, "-m", "punie.models.mlx.sharding.follower", *sys.argv[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    assert follower.stdin is not None
    follower.stdin.write(orders)
    follower.stdin.close()


if __name__ == "__main__":
    main()
