"""Ends the process groups of this program when it is killed and can no longer do it itself.

A small shell waits beside us for as long as its input is open; the system closes that whatever
ends us.
"""

import contextlib
import os
import subprocess

_SCRIPT = """
trap '' HUP INT TERM
groups=' '
while read -r sign group; do
    case "$sign$groups" in
        +*) groups="$groups$group " ;;
        -*" $group "*) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
"""

_watcher: subprocess.Popen[bytes] | None = None


def start_watcher() -> None:
    """Start the shell, once; before the first group, so that it never has to catch up."""
    global _watcher
    if _watcher is None:
        # Without a shell nothing is lost but this last resort.
        with contextlib.suppress(OSError):
            _watcher = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )


def watch_group(group: int) -> None:
    """End the group of that number should this process be killed."""
    _tell("+", group)


def unwatch_group(group: int) -> None:
    """Leave the group alone from now on; its number may soon be another's."""
    _tell("-", group)


def _tell(sign: str, group: int) -> None:
    if _watcher is not None and _watcher.stdin is not None:
        # Straight to the pipe: a signal handler may be what calls us.
        with contextlib.suppress(OSError):
            os.write(_watcher.stdin.fileno(), f"{sign} {group}\n".encode())
