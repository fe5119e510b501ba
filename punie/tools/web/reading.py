"""A page as text: HTML becomes Markdown, what is text already stays as it is."""

import re
from urllib.parse import urljoin

from punie.tools.base import ToolError
from punie.tools.web.fetching import Page

_HTML = frozenset({"text/html", "application/xhtml+xml"})
_TEXT = re.compile(
    r"text/.*|application/(?:.*\+)?(?:json|xml|yaml|x-yaml|toml|javascript|x-sh|x-ndjson|graphql)"
)
_NOT_READ = ("script", "style", "noscript", "template", "svg", "iframe", "object", "canvas", "head")
_EMPTY_LINES = re.compile(r"\n{3,}")


def page_text(page: Page) -> str:
    """Return the text of a page; raise `ToolError` if it holds none."""
    kind = page.content_type or ("text/html" if _looks_like_html(page.body) else "text/plain")
    if kind in _HTML:
        return _markdown(page)
    if not _TEXT.fullmatch(kind) or b"\0" in page.body[:4096]:
        raise ToolError(f"{page.url} is {kind}, which cannot be read as text")
    try:
        return page.body.decode(page.charset or "utf-8", errors="replace")
    except LookupError:
        return page.body.decode("utf-8", errors="replace")


def _looks_like_html(body: bytes) -> bool:
    return b"<html" in body[:2048].lower() or b"<!doctype html" in body[:2048].lower()


def _markdown(page: Page) -> str:
    # Not at the top: they are heavy, and most sessions fetch nothing.
    from bs4 import BeautifulSoup
    from markdownify import ATX, MarkdownConverter

    soup = BeautifulSoup(page.body, "html.parser", from_encoding=page.charset)
    title = soup.title.get_text(" ", strip=True) if soup.title is not None else ""
    try:
        for element in soup.find_all(_NOT_READ):
            element.decompose()
        for link in soup.find_all("a", href=True):
            link["href"] = urljoin(page.url, str(link["href"]))
        for image in soup.find_all("img"):
            if str(image.get("src", "")).startswith("data:"):
                image.decompose()
        text = MarkdownConverter(heading_style=ATX).convert_soup(soup)
    except (RecursionError, ValueError):
        # Elements that are in each other a thousand times, or links that are none.
        text = "\n".join(soup.stripped_strings)
    text = _EMPTY_LINES.sub("\n\n", "\n".join(line.rstrip() for line in text.split("\n"))).strip()
    return f"{title}\n\n{text}" if title and not text.startswith(f"# {title}") else text
