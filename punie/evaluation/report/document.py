"""A page in one file that needs nothing else: the styles and at most one small script inside."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from punie.evaluation.report.markup import Content, Html, element

_STYLES = Path(__file__).with_name("page.css")


def document(title: str, parts: Sequence[Content], script: str = "") -> str:
    """Return a page of these parts, in which nothing but `script` runs and nothing is loaded."""
    # Whatever a model wrote into the parts.
    digest = b64encode(sha256(script.encode()).digest()).decode()
    allowed = f"'sha256-{digest}'" if script else "'none'"
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    known = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="content-security-policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(_STYLES.read_text(encoding="utf-8"))),
    )
    scripts = [element("script", Html(script))] if script else []
    body = element("body", *parts, *scripts)
    whole = element("html", Html("\n"), known, Html("\n"), body, lang="en")
    return f"<!doctype html>\n{whole.text}\n"
