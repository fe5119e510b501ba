"""What `--against` names, and reaching it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import assert_never

import anyio.to_thread
from pydantic_ai.messages import ModelRequest, UserPromptPart

from punie.models.catalog import ModelUnavailable
from punie.models.endpoint import Endpoint, read_key
from punie.models.mlx.bench.against.client import Client, Peer, open_http
from punie.models.mlx.bench.against.mlx_lm_server import TITLE, serving
from punie.models.mlx.bench.rows import BenchError
from punie.models.mlx.bench.sides import Ours, Question, listen
from punie.models.mlx.bench.start import QUESTION
from punie.models.mlx.bench.suite import Subject
from punie.models.served import find_served, served_models

_NAMED = 5

HELLO = Question([ModelRequest(parts=[UserPromptPart(QUESTION)])], 1)
"""The first request to a server, and all that a start answers."""


@dataclass(frozen=True)
class MlxLm:
    """`mlx_lm.server`, which is started with the same weights."""


@dataclass(frozen=True)
class Address:
    """A server that runs; `model` is its name for the model, None for what it takes by itself."""

    endpoint: Endpoint
    model: str | None


Target = MlxLm | Address


@dataclass(frozen=True)
class Pair:
    """Both sides of a comparison: Punie's model as `subject` has it, and a server."""

    subject: Subject
    ours: Ours
    theirs: Client
    peer: Peer


def title_of(target: Target) -> str:
    """Name the other side."""
    match target:
        case MlxLm():
            return TITLE
        case Address():
            return f"the server at {target.endpoint.url}"
        case _:
            assert_never(target)


async def reach(target: Target) -> Target:
    """See whether a server answers, before anything takes long; return it with its model's name.

    Raises `BenchError`.
    """
    if isinstance(target, MlxLm):
        return target
    name = await anyio.to_thread.run_sync(_model_name, target, abandon_on_cancel=True)
    found = Address(target.endpoint, name)
    async with open_http(found.endpoint) as http:
        await listen(Client(http, _peer(found), quiet=False), HELLO)
    return found


@asynccontextmanager
async def pair_with(target: Target, subject: Subject) -> AsyncGenerator[Pair]:
    """Open both sides until the context is left; raise `BenchError`."""
    match target:
        case MlxLm():
            if not subject.fits_twice:
                raise BenchError("there is no memory for the model's weights twice")
            async with (
                serving(subject.path, subject.environment) as peer,
                _pair(peer, subject) as pair,
            ):
                # The first request waits for the weights.
                await listen(pair.theirs, HELLO)
                yield pair
        case Address():
            async with _pair(_peer(target), subject) as pair:
                yield pair
        case _:
            assert_never(target)


@asynccontextmanager
async def _pair(peer: Peer, subject: Subject) -> AsyncGenerator[Pair]:
    quiet = False in subject.model.chat_format.traits.thinking_levels
    async with open_http(peer.endpoint) as http:
        yield Pair(subject, Ours(subject.model), Client(http, peer, quiet=quiet), peer)


def _peer(address: Address) -> Peer:
    endpoint = address.endpoint
    path = f"{endpoint.path}/models"
    return Peer(title_of(address), endpoint, address.model, path, _key(endpoint))


def _key(endpoint: Endpoint) -> str | None:
    try:
        return read_key(endpoint)
    except ModelUnavailable as error:
        raise BenchError(str(error).removesuffix(".")) from None


def _model_name(address: Address) -> str | None:
    """Return what a server calls its model; None where it does not tell, as it may have only one.

    Raises `BenchError`.
    """
    endpoint, name = address.endpoint, address.model
    try:
        if name is not None:
            return find_served(endpoint, name).name
        found = served_models(endpoint)
    except ModelUnavailable as error:
        raise BenchError(str(error).removesuffix(".")) from None
    if not found:
        return None
    if len(found) == 1:
        return found[0].name
    names = ", ".join(model.name for model in found[:_NAMED])
    more = " and more" if len(found) > _NAMED else ""
    raise BenchError(
        f"the server at {endpoint.url} has {names}{more}; name one, as {endpoint.url}#MODEL"
    )
