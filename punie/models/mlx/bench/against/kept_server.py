"""`mlx_lm.server` in a process that ends with the one that started it, whatever ends that.

Its input is a pipe from there, which the system closes. Light, for its start is measured.
"""

import os
import threading
from contextlib import suppress


def _end_with_the_input() -> None:
    with suppress(OSError):
        os.read(0, 1)
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_input, daemon=True).start()

    from mlx_lm.server import main

    main()  # type: ignore[no-untyped-call]
