"""Runs pytest and writes what it reports as JSON, a line for each event, to standard output.

This file runs in the project's own Python, started as a script with pytest's arguments, and is the
pytest plugin as well, in pytest-xdist's workers too (PYTEST_DONT_REWRITE: it asserts nothing). It
needs nothing but pytest 7 or newer and Python 3.8, and imports nothing of Punie. What pytest and
the tests print goes to standard error.

The events, by their `event`:

- `start`: `python` and `pytest`, the versions; without `pytest` there is none;
- `running`: `id` of the test that begins;
- `test`: a phase of a test that says something of it: `id`, `phase`, `outcome`, `seconds`, and for
  a failure `message`, `trace` (innermost last), `output`;
- `collecting`: `id` and `message` of what could not be collected;
- `end`: `status`, pytest's own exit status.
"""

# Paths are texts here.
# ruff: noqa: PTH100, PTH109, PTH117, PTH120

from __future__ import annotations

import importlib
import json
import linecache
import os
import platform
import sys
from typing import TYPE_CHECKING, Any, Generator, TextIO  # noqa: UP035 - for old Pythons

if TYPE_CHECKING:
    import pytest
else:
    try:
        import pytest
    except ImportError:
        pytest = None

MESSAGE_CHARS = 2_000
OUTPUT_CHARS = 1_000
TRACE_FRAMES = 6
DETAILED_FAILURES = 200
_QUOTES = "'\""

# Where the events go; nowhere in a worker, whose reports come to the process that started it.
out: TextIO | None = None
detailed = 0


def write(event: str, **values: Any) -> None:
    """Write one event; a test may have closed what it goes to."""
    if out is None:
        return
    try:
        out.write(json.dumps(dict(values, event=event)) + "\n")
        out.flush()
    except (OSError, ValueError):
        pass


def shown_path(path: Any) -> str:
    """Return a path relative to where the tests were started from, if it is below it."""
    text = str(path)
    try:
        relative = os.path.relpath(text)
    except ValueError:
        return text
    return text if relative.startswith("..") else relative


def failure(excinfo: Any) -> dict[str, Any]:
    """Return what an exception says and where in the project it comes from."""
    try:
        message = excinfo.exconly(tryshort=True)
    except Exception:
        message = repr(getattr(excinfo, "value", excinfo))
    frames = []
    raw = excinfo.tb
    while raw is not None:
        names = raw.tb_frame.f_locals
        path = shown_path(raw.tb_frame.f_code.co_filename)
        own = not os.path.isabs(path) and "site-packages" not in path
        if own and not names.get("__tracebackhide__", False):
            source = linecache.getline(raw.tb_frame.f_code.co_filename, raw.tb_lineno)
            frames.append([path, raw.tb_lineno, raw.tb_frame.f_code.co_name, source.strip()[:200]])
        raw = raw.tb_next
    return {"message": message[:MESSAGE_CHARS], "trace": frames[-TRACE_FRAMES:]}


def output_of(report: Any) -> str:
    """Return the end of what the test printed and logged."""
    sections = [text.strip() for _, text in report.sections if text.strip()]
    return "\n".join(dict.fromkeys(sections))[-OUTPUT_CHARS:]


def named(subtest: Any) -> str:
    """Return which subtest it is, as pytest prints it, to go before its message."""
    message, arguments = getattr(subtest, "msg", None), getattr(subtest, "kwargs", None) or {}
    # Some versions keep the values, some their representation, which xdist represents once more.
    shown = ", ".join(f"{name}={str(value).strip(_QUOTES)}" for name, value in arguments.items())
    parts = [f"[{message}]" if message else "", f"({shown})" if shown else ""]
    return " ".join(filter(None, parts))[:200] + " "


def text_of(report: Any) -> str:
    """Return what pytest itself would print of a failure, the end of it."""
    text = getattr(report, "longreprtext", "") or str(report.longrepr or "")
    # xdist names the worker first.
    first, _, rest = text.partition("\n")
    return (rest if rest and first.startswith("[gw") else text)[-MESSAGE_CHARS:]


if pytest is not None:

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(config: Any) -> None:
        """Run what failed last time first, where the project remembers that."""
        if hasattr(config.option, "failedfirst"):
            config.option.failedfirst = True

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, None]:
        """Note where a failure comes from, while the exception is there, for all processes."""
        outcome = yield
        report = outcome.get_result()
        if report.failed and call.excinfo is not None:
            try:
                report.punie_failure = failure(call.excinfo)
            except Exception as error:
                report.punie_failure = {"message": repr(error), "trace": []}

    def pytest_runtest_logstart(nodeid: str) -> None:
        """Tell which test begins."""
        write("running", id=nodeid)

    def pytest_runtest_logreport(report: Any) -> None:
        """Tell how a phase of a test ended, if it says something of the test."""
        global detailed
        outcome = report.outcome
        subtest = getattr(report, "context", None)
        if outcome == "passed" and (report.when != "call" or subtest is not None):
            return
        if hasattr(report, "wasxfail"):
            outcome = "xfailed" if report.skipped else "xpassed"
        values: dict[str, Any] = {}
        if outcome == "failed":
            detailed += 1
            if detailed <= DETAILED_FAILURES:
                values = dict(getattr(report, "punie_failure", None) or {})
                values.setdefault("message", text_of(report))
                values["output"] = output_of(report)
                if subtest is not None:
                    values["message"] = named(subtest) + values["message"]
        seconds = round(getattr(report, "duration", 0.0), 4)
        write(
            "test", id=report.nodeid, phase=report.when, outcome=outcome, seconds=seconds, **values
        )

    def pytest_collectreport(report: Any) -> None:
        """Tell what could not be collected, and which modules skip themselves."""
        if report.failed:
            write("collecting", id=report.nodeid, message=text_of(report))
        elif report.skipped:
            write("test", id=report.nodeid, phase="collect", outcome="skipped", seconds=0.0)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(session: Any, exitstatus: Any) -> None:
        """Tell that pytest came to its end."""
        write("end", status=int(exitstatus))


def main() -> int:
    """Run pytest with the arguments of this process, as `python -m pytest` would."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[0] = os.getcwd()
    sys.path.append(here)
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    os.dup2(2, 1)
    # This file as a script and as the plugin are two modules; the plugin is what pytest calls.
    plugin: Any = importlib.import_module("punie_pytest_report")
    plugin.out = events
    versions = {"python": platform.python_version(), "executable": sys.executable}
    if plugin.pytest is None:
        plugin.write("start", **versions)
        return 1
    plugin.write("start", pytest=plugin.pytest.__version__, **versions)
    sys.argv[0] = "pytest"
    status = plugin.pytest.main(["-p", "punie_pytest_report", *sys.argv[1:]])
    plugin.out = None
    events.close()
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
