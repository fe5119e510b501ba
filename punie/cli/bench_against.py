"""`punie bench --against`: Punie and another server in turn, with the same questions."""

import importlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import typer

from punie.cli.bench_report import Report, status
from punie.models.catalog import ModelChoice
from punie.models.endpoint import Endpoint
from punie.models.mlx.bench.rows import BenchError, Finding, Skipped
from punie.models.mlx.bench.suite import ALIKE, Measurement, Subject
from punie.settings import server_url

if TYPE_CHECKING:
    from punie.models.mlx.bench.against.target import Pair, Target

_MLX_LM = "mlx-lm"


@dataclass(frozen=True)
class Server:
    """What `--against` says: a base URL and the server's name for a model, or mlx-lm's server."""

    url: str | None = None
    model: str | None = None

    async def reached(self, key_file: Path | None) -> "Target":
        """Return what is compared with, once it answers; raise `BenchError`."""
        with status("looking for the server"):
            module = "punie.models.mlx.bench.against.target"
            # Heavy, so that it is imported in a thread.
            target: Any = await anyio.to_thread.run_sync(
                importlib.import_module, module, abandon_on_cancel=True
            )
            found: Target = target.MlxLm()
            if self.url is not None:
                endpoint = Endpoint(self.url, key_file, named_by="the address after --against")
                found = await target.reach(target.Address(endpoint, self.model))
            return found


def server_of(text: str) -> Server:
    """Read the argument of `--against`; raise `typer.BadParameter`."""
    if text == _MLX_LM:
        return Server()
    url, _, name = text.partition("#")
    try:
        return Server(server_url(url), name or None)
    except ValueError as error:
        # Not quoted: a password may stand in it.
        raise typer.BadParameter(f"--against {error}, or {_MLX_LM}.") from None


async def compare(
    report: Report,
    choice: ModelChoice,
    subject: Subject,
    target: "Target",
    chosen: Sequence[Measurement],
) -> list[Finding]:
    """Measure both sides in turn and report the ratios; return them."""
    from punie.models.mlx.bench.against.target import Address, title_of

    report.begin(f"{choice.title} against {title_of(target)}")
    async with AsyncExitStack() as stack:
        pair: Pair | BenchError | None = None
        # What starts processes of its own comes first, before there is another one.
        for comparison in sorted(chosen, key=lambda one: one.given_pair):
            if comparison.given_pair and pair is None:
                pair = await _begin(stack, report, target, subject)
            with status(comparison.name, comparison.summary) as show:
                aware = replace(subject, say=show)
                if not comparison.given_pair:
                    findings = await comparison.run(aware, target)
                elif isinstance(pair, BenchError):
                    findings = [Skipped(comparison.name, str(pair))]
                else:
                    assert pair is not None
                    findings = await comparison.run(replace(pair, subject=aware))
            report.add(comparison, findings)
    against = {
        "name": title_of(target),
        "url": target.endpoint.url if isinstance(target, Address) else None,
        "model": target.model if isinstance(target, Address) else None,
    }
    return report.end(model=choice.id, against=against)


async def _begin(
    stack: AsyncExitStack, report: Report, target: "Target", subject: Subject
) -> "Pair | BenchError":
    """Open both sides and see whether they run the same model; return why it cannot be done."""
    from punie.models.mlx.bench.against.target import pair_with

    with status(ALIKE.name, ALIKE.summary) as show:
        try:
            pair = await stack.enter_async_context(pair_with(target, subject))
        except BenchError as error:
            return error
        findings = await ALIKE.run(replace(pair, subject=replace(subject, say=show)))
    report.add(ALIKE, findings)
    return pair
