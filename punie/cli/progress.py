"""How a long download is shown: a bar on a terminal, a line for each tenth elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from punie.models.memory import gigabytes

_LINE_SECONDS = 10.0


class Progress:
    """Receives how far a download of `total` bytes is; a context manager."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._tenth = 0
        self._said = time.monotonic()
        self._bar: Bar | None = None
        if sys.stderr.isatty():
            self._bar = Bar(
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                "{task.description}",
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are there, the last of them of the file `name`."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=name)
            return
        tenth = 10 * done // max(total, 1)
        now = time.monotonic()
        if tenth > self._tenth and (tenth == 10 or now - self._said >= _LINE_SECONDS):
            self._tenth, self._said = tenth, now
            print(f"{10 * tenth:>4} %, {gigabytes(done)}", flush=True)
