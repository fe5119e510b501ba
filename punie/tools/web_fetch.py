"""web_fetch: a page of the web as Markdown; offered only where the user's settings say so."""

from functools import partial

import anyio.to_thread

from punie.tools.base import Tool, ToolArguments, ToolContext, ToolResult
from punie.tools.presentation import Presentation
from punie.tools.web.fetching import checked_url, fetch
from punie.tools.web.reading import page_text
from punie.tools.wording import fenced, one_line

_TRAILER_ROOM = 100


class WebFetchArguments(ToolArguments):
    """Which page."""

    url: str
    """The address of the page."""


async def present(context: ToolContext, arguments: WebFetchArguments) -> Presentation:
    """Describe the call; raise `ToolError` for what is no URL."""
    url = str(checked_url(arguments.url))
    return Presentation(title=f"Fetch {one_line(url, 120)}", kind="fetch", content=(fenced(url),))


async def run(context: ToolContext, arguments: WebFetchArguments, *, private: bool) -> ToolResult:
    """Get the page and return its text, saying where it came from if that is another place."""
    presentation = await present(context, arguments)
    page = await fetch(arguments.url, private=private)
    text = await anyio.to_thread.run_sync(page_text, page, abandon_on_cancel=True)
    asked = str(checked_url(arguments.url))
    head = "" if page.url == asked else f"(redirected to {one_line(page.url, 300)})\n"
    room = max(context.limits.result_chars - len(head) - _TRAILER_ROOM, 1)
    if len(text) > room:
        text = f"{text[:room]}\n(first {room} of {len(text)} characters of the page)"
    elif page.cut:
        text = f"{text}\n(the page goes on; only its first {len(page.body)} bytes were read)"
    elif not text.strip():
        text = "(the page holds no text)"
    shown = fenced(text, "markdown")
    return ToolResult(head + text, presentation.model_copy(update={"content": (shown,)}))


def web_fetch_tool(*, private: bool) -> Tool[WebFetchArguments]:
    """Return the tool; `private` lets it reach this machine and the network around it."""
    return Tool(
        name="web_fetch",
        description="Fetch a page as Markdown.",
        arguments=WebFetchArguments,
        effect="external",
        present=present,
        run=partial(run, private=private),
    )


WEB_FETCH = web_fetch_tool(private=False)
WEB_FETCH_PRIVATE = web_fetch_tool(private=True)
