"""Drives a headless Chromium by the DevTools protocol, as little of it as the tests need."""

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

Json = dict[str, Any]
TIMEOUT = 30.0
PROGRAM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
MISSING = "there is no Chromium on this machine"

# No connection but to what the tests open, and nothing that needs a screen or a user's session.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
    "--no-default-browser-check",
    "--mute-audio",
    "--window-size=1280,860",
    "--remote-debugging-port=0",
)


@dataclass(eq=False)
class Browser:
    """The browser; `said` holds the events of all pages."""

    socket: ClientConnection
    last_id: int = 0
    said: list[Json] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)

    def call(self, method: str, params: Json | None = None, session: str | None = None) -> Json:
        self.last_id += 1
        message: Json = {"id": self.last_id, "method": method, "params": params or {}}
        if session is not None:
            message["sessionId"] = session
        self.socket.send(json.dumps(message))
        while True:
            answer: Json = json.loads(self.socket.recv(TIMEOUT))
            if answer.get("id") == self.last_id:
                assert "error" not in answer, answer["error"]
                result: Json = answer["result"]
                return result
            self.said.append(answer)

    def open(self, url: str) -> "Page":
        """Open a page in a window that shares nothing with the others."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        self.contexts.append(context)
        target = self.call(
            "Target.createTarget", {"url": "about:blank", "browserContextId": context}
        )["targetId"]
        attached = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        page = Page(self, attached["sessionId"])
        for domain in ("Runtime", "Log", "Page", "Network"):
            page.call(f"{domain}.enable")
        page.go(url)
        return page

    def close_pages(self) -> None:
        while self.contexts:
            context = self.contexts.pop()
            self.call("Target.disposeBrowserContext", {"browserContextId": context})
        self.said.clear()


@dataclass(eq=False)
class Page:
    """One page."""

    browser: Browser
    session: str

    def call(self, method: str, params: Json | None = None) -> Json:
        return self.browser.call(method, params, self.session)

    def go(self, url: str) -> None:
        self.call("Page.navigate", {"url": url})
        self.until("document.readyState === 'complete'")

    def js(self, expression: str) -> Any:
        """Return the value of an expression, or what it promises."""
        answer = self.call(
            "Runtime.evaluate",
            {"expression": expression, "returnByValue": True, "awaitPromise": True},
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str, timeout: float = TIMEOUT) -> Any:
        """Wait until an expression is true and return it."""
        deadline = time.monotonic() + timeout
        while True:
            value = self.js(expression)
            if value:
                return value
            shown = "document.body.innerText.slice(0, 2000)"
            assert time.monotonic() < deadline, f"never: {expression}\n{self.js(shown)}"
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        found: str = self.js(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        return found

    def until_text(self, selector: str, text: str) -> None:
        chosen = json.dumps(selector)
        self.until(
            f"(document.querySelector({chosen})?.innerText ?? '').includes({json.dumps(text)})"
        )

    def click(self, selector: str) -> None:
        """Click where a person would."""
        box = self.until(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)})"
            "?.getBoundingClientRect();"
            " return box && [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent",
                {"type": kind, "x": box[0], "y": box[1], "button": "left", "clickCount": 1},
            )

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def prefer(self, scheme: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", {"features": [feature]})

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def complaints(self) -> list[str]:
        """Return the errors and warnings of the page so far, refused content among them."""
        self.js("0")
        found = []
        for event in self.browser.said:
            if event.get("sessionId") != self.session:
                continue
            params = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in (
                "error",
                "warning",
            ):
                found.append(params["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled":
                found.append(json.dumps(params["args"]))
        return found

    def requested(self) -> set[str]:
        """Return the addresses that the page asked for."""
        self.js("0")
        return {
            event["params"]["request"]["url"]
            for event in self.browser.said
            if event.get("sessionId") == self.session
            and event["method"] == "Network.requestWillBeSent"
        }


@contextmanager
def running_browser(folder: Path) -> Iterator[Browser]:
    """Run a browser whose profile is in `folder`; nothing of it is left at the end."""
    assert PROGRAM is not None, MISSING
    home = folder / "home"
    home.mkdir()
    with ExitStack() as stack:
        output = stack.enter_context((folder / "chromium.log").open("wb"))
        process = subprocess.Popen(
            [PROGRAM, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": os.environ["PATH"], "HOME": str(home)},
            start_new_session=True,
        )
        stack.callback(_end, process)
        port_file = folder / "profile/DevToolsActivePort"
        _wait(lambda: port_file.exists() and port_file.read_text().count("\n") > 0, process)
        port, path = port_file.read_text().splitlines()[:2]
        socket = connect(
            f"ws://127.0.0.1:{port}{path}", max_size=None, compression=None, proxy=None
        )
        yield Browser(stack.enter_context(socket))


def _wait(ready: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + TIMEOUT
    while not ready():
        assert process.poll() is None, "the browser ended"
        assert time.monotonic() < deadline, "the browser did not start"
        time.sleep(0.02)


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
