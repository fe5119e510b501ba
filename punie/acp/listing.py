"""`session/list`: stored sessions in pages, the latest used first."""

import base64
import json
from collections.abc import Collection

from acp.schema import ListSessionsResponse, SessionInfo

from punie.acp.errors import invalid
from punie.acp.history import ADDITIONAL, HistoryUnavailable, SavedHistory
from punie.acp.opening import unreadable

PAGE_SIZE = 50
"""Sessions in one answer."""

_MOST_ROWS = 2**63


async def list_page(
    history: SavedHistory, cwd: str | None, cursor: str | None, live: Collection[str]
) -> ListSessionsResponse:
    """Return a page of the sessions of exactly this folder, or of all.

    A session in which nothing was asked is listed only as long as it is open. Raises the
    invalid-params error for a cursor that no answer of ours held.
    """
    after = None if cursor is None else _position(cursor)
    try:
        records = await history.page(cwd, after, PAGE_SIZE + 1, live)
    except HistoryUnavailable as error:
        raise unreadable(error) from error
    page = records[:PAGE_SIZE]
    response = ListSessionsResponse(
        sessions=[
            SessionInfo(
                session_id=record.id,
                cwd=record.cwd,
                additional_directories=record.meta.get(ADDITIONAL) or None,
                title=record.title,
                updated_at=record.updated.isoformat(timespec="milliseconds"),
            )
            for record in page
        ]
    )
    if len(records) > PAGE_SIZE:
        response.next_cursor = _cursor(page[-1].position)
    return response


def _cursor(position: tuple[float, int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _position(cursor: str) -> tuple[float, int]:
    try:
        updated, number = json.loads(base64.b64decode(cursor, "-_", validate=True))
        if type(updated) is float and type(number) is int and 0 < number < _MOST_ROWS:
            return updated, number
    except (ValueError, TypeError):
        pass
    raise invalid("The cursor is not one that session/list has returned.")
