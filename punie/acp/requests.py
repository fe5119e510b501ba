"""How every request is answered: it can be cancelled, and what goes wrong inside stays inside."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import anyio
from acp import RequestError

from punie.acp.errors import cancelled, internal, invalid
from punie.logs.setup import get_logger
from punie.wire.messages import RequestId

_log = get_logger(__name__)

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])


@dataclass(eq=False)
class Incoming:
    """A request on its way; its handler gets it as the keyword argument `request`.

    `params` and `meta` are what the client sent, `meta` as `_meta`. `on_cancel` is called when the
    client cancels the request; a handler that starts late looks at `cancelled`. `after_answer`
    runs as soon as the answer is written, which is the first moment for updates that must not come
    before it.
    """

    id: RequestId
    method: str
    params: Mapping[str, Any]
    meta: Mapping[str, Any]
    cancelled: bool = False
    on_cancel: Callable[[], None] | None = None
    after_answer: list[Callable[[], None]] = field(default_factory=list)

    def cancel(self) -> None:
        """Cancel the request, now or as soon as its handler starts."""
        self.cancelled = True
        if self.on_cancel is not None:
            self.on_cancel()


def answered(handler: Handler) -> Handler:
    """Make a request cancellable, and keep what goes wrong inside from the client."""

    @functools.wraps(handler)
    async def wrapper(self: object, *, request: Incoming | None = None, **params: Any) -> Any:
        with anyio.CancelScope() as scope:
            if request is not None:
                request.on_cancel = scope.cancel
                if request.cancelled:
                    scope.cancel()
            try:
                return await handler(self, request=request, **params)
            except RequestError:
                raise
            except Exception as error:
                _log.exception("request failed", method=handler.__name__)
                raise internal() from error
        raise cancelled()

    return cast(Handler, wrapper)


def text_param(params: Mapping[str, Any], name: str, method: str) -> str:
    """Return a text among raw parameters; raise the invalid-params error without it."""
    value = params.get(name)
    if isinstance(value, str):
        return value
    missing = value is None
    raise invalid(
        f"{method} needs {name}." if missing else f"{method} got {name} of the wrong type."
    )
