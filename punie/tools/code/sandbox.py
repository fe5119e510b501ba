"""Runs code in the Monty sandbox: a Python of its own in a process of its own.

The code reaches nothing but the functions it is given: no files, no network, no processes, no
environment, no imports but the sandbox's own modules. It is the worker process that runs it, which
is killed when a limit is passed that it does not keep by itself, and when the run is cancelled.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, files
from typing import TYPE_CHECKING, Any, assert_never

from anyio import to_thread

from punie.tools.base import ToolError
from punie.tools.code.faults import Fault, fault_of, typing_faults

if TYPE_CHECKING:
    from pydantic_monty import AsyncFunctionSnapshot, AsyncMontySession, AsyncSnapshot

_NOT_HERE = "{} reaches outside the sandbox; use the functions you were given"
# Questions of the sandbox about modules, which it answers best itself.
_IMPORTS = frozenset({"import", "import_stubs"})
_GRACE_SECONDS = 2.0
_CHECKING_SECONDS = 10.0
_ROUND_TRIPS_PER_CALL = 20

Call = Callable[[tuple[Any, ...], dict[str, Any]], Awaitable[Any]]
"""A function for the code: gets the arguments as they were given."""


class Raised(Exception):  # noqa: N818 - it carries an exception
    """What a function raises in the code, which may catch it; all else ends the run."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _Ended(Exception):  # noqa: N818 - it names a state
    """The code is not run on; the message says why."""


@dataclass(frozen=True)
class CodeLimits:
    """What one run may take: seconds of computing (waiting for functions does not count), bytes of
    memory, calls of functions, frames on the stack, and characters of output."""

    seconds: float = 10.0
    memory: int = 128 * 1024 * 1024
    calls: int = 100
    frames: int = 500
    output: int = 16_000


@dataclass
class Output:
    """What the code printed, up to a limit; `size` counts all of it."""

    limit: int
    size: int = 0
    _pieces: list[str] = field(default_factory=list)

    def add(self, _stream: str, text: str) -> None:
        """Keep what fits."""
        room = self.limit - self.size
        if room > 0:
            self._pieces.append(text[:room])
        self.size += len(text)

    @property
    def text(self) -> str:
        """What was kept."""
        return "".join(self._pieces)


@dataclass(frozen=True)
class Finished:
    """The code ran to its end; `value` is that of its last expression, None without one."""

    value: Any


async def run_sandboxed(
    code: str,
    functions: Mapping[str, Call],
    stubs: str,
    limits: CodeLimits,
    output: Output,
) -> Finished | tuple[Fault, ...]:
    """Run the code and return how it ended; faults found before it ran come all at once.

    `stubs` declares the functions to the type checker. Raises `ToolError` if there is no sandbox,
    and whatever a function raises but `Raised`.
    """
    program = await to_thread.run_sync(_program)
    import pydantic_monty as monty

    pool = monty.AsyncMonty(
        binary_path=program,
        max_processes=1,
        # Checking the types is not computing of the code, so it has its own time.
        request_timeout=limits.seconds + _CHECKING_SECONDS,
        feed_duration_limit_grace=_GRACE_SECONDS,
    )
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(pool)
            session = await stack.enter_async_context(
                pool.checkout(
                    script_name="code.py",
                    type_check=True,
                    type_check_stubs=stubs,
                    type_check_format="json",
                    os_policy={"sleep": "zero"},
                    limits={
                        "max_feed_duration_secs": limits.seconds,
                        "max_memory": limits.memory,
                        "max_recursion_depth": limits.frames,
                        "max_suspensions": limits.calls * _ROUND_TRIPS_PER_CALL,
                    },
                )
            )
        except (OSError, RuntimeError) as error:
            raise ToolError(f"code cannot run, because the sandbox does not: {error}") from error
        return await _run(session, code, functions, limits, output)


async def _run(
    session: "AsyncMontySession",
    code: str,
    functions: Mapping[str, Call],
    limits: CodeLimits,
    output: Output,
) -> Finished | tuple[Fault, ...]:
    import pydantic_monty as monty

    # Bound as values, for a function may have the name of something built in.
    bound = {name: _named(name) for name in functions}

    async def feed(*, check: bool) -> Finished:
        snapshot = await session.feed_start(
            code, inputs=bound, print_callback=output.add, skip_type_check=not check
        )
        return Finished(await _drive(snapshot, functions, limits))

    try:
        try:
            return await feed(check=True)
        except monty.MontyTypingError as error:
            # It comes before anything ran.
            return typing_faults(error.display()) or await feed(check=False)
    except (monty.MontyRuntimeError, monty.MontySyntaxError) as error:
        return (fault_of(error),)
    except monty.MontyCrashedError as error:
        return (Fault(None, "the code took too long" if error.timed_out else str(error)),)
    except _Ended as ended:
        return (Fault(None, str(ended)),)


async def _drive(
    snapshot: "AsyncSnapshot", functions: Mapping[str, Call], limits: CodeLimits
) -> Any:
    """Answer what the code asks for until it has ended; return its value."""
    import pydantic_monty as monty

    calls = 0
    while True:
        match snapshot:
            case monty.MontyComplete():
                return snapshot.output
            case monty.AsyncNameLookupSnapshot():
                snapshot = await snapshot.resume()
            case monty.AsyncFutureSnapshot():
                # No function of ours is answered later, so there is nothing to wait for.
                raise _Ended("the code awaits something that never comes")
            case monty.AsyncFunctionSnapshot() if snapshot.is_os_function:
                if snapshot.function_name in _IMPORTS:
                    snapshot = await snapshot.resume_not_handled()
                else:
                    refusal = PermissionError(_NOT_HERE.format(snapshot.function_name))
                    snapshot = await snapshot.resume({"exception": refusal})
            case monty.AsyncFunctionSnapshot():
                function = functions.get(snapshot.function_name)
                if function is None:
                    unknown = NameError(f"name {snapshot.function_name!r} is not defined")
                    snapshot = await snapshot.resume({"exception": unknown})
                    continue
                calls += 1
                if calls > limits.calls:
                    raise _Ended(f"the code made {limits.calls} calls; do less in one run")
                snapshot = await _answer(snapshot, function)
            case _:
                assert_never(snapshot)


async def _answer(snapshot: "AsyncFunctionSnapshot", function: Call) -> "AsyncSnapshot":
    try:
        value = await function(snapshot.args, snapshot.kwargs)
    except Raised as raised:
        return await snapshot.resume({"exception": raised.error})
    return await snapshot.resume({"return_value": value})


def _named(name: str) -> Callable[[], None]:
    def function() -> None:
        raise AssertionError("functions are called through snapshots")

    function.__name__ = function.__qualname__ = name
    return function


def _program() -> str | None:
    """Import the sandbox; return its program as installed with it, or None to let it look."""
    import pydantic_monty  # noqa: F401 - not on the event loop

    with suppress(PackageNotFoundError):
        for file in files("pydantic-monty-runtime") or ():
            if file.stem == "monty" and file.suffix in ("", ".exe"):
                return str(file.locate())
    return None
