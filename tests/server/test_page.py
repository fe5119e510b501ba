"""The page in a real browser: what it shows, and what no other page gets."""

import http.server
import json
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.server import browser as chromium
from tests.server.browser import Browser, Page, running_browser
from tests.server.conftest import Json, RawClient, RunningServer, StartServer, wait_ready

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason=chromium.MISSING)
Use = Callable[..., None]
EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}
PLAN = {
    "tool": "update_plan",
    "arguments": {"steps": [{"content": "Greet as in Vienna", "status": "in_progress"}]},
}
SLOW = {"text": "One word after the other. " * 40, "delay": 0.05, "chunks": 200}
HOSTILE = '<img src=x onerror="window.hit=1"><script>window.hit=1</script></pre><b>bold</b>&amp;'


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    """The browser; what a test opened is closed after it."""
    yield window
    window.close_pages()


def page_of(browser: Browser, server: RunningServer) -> Page:
    return browser.open(f"{server.record.url}/#token={server.token}")


def client_of(server: RunningServer, cwd: Path, name: str = "tests") -> tuple[RawClient, str]:
    client = server.connect()
    info = {"name": name, "version": "1"}
    client.request(
        "initialize", {"protocolVersion": 1, "clientCapabilities": {}, "clientInfo": info}
    )
    opened = client.request("session/new", {"cwd": str(cwd), "mcpServers": []})
    return client, opened["sessionId"]


def status_of(server: RunningServer) -> Json:
    request = urllib.request.Request(
        f"{server.record.url}/status", headers={"Authorization": f"Bearer {server.token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        value: Json = json.load(answer)
    return value


def chunk(message: Json) -> bool:
    update = message.get("params", {}).get("update", {})
    return bool(update.get("sessionUpdate") == "agent_message_chunk")


def test_a_turn_is_shown_while_it_runs_and_so_is_the_question_that_waits(
    browser: Browser, server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted({"thought": "Vienna, then.", "calls": [PLAN, EDIT]}, {"text": "Now in Viennese."})
    page = page_of(browser, server)
    page.until_text("#link", "live")
    assert page.js("location.href") == f"{server.record.url}/"
    client, session = client_of(server, project, "Some IDE")
    client.answer = ""
    prompt = client.begin_prompt(session, "Greet politely")
    page.until_text("#questions", "waits for an answer in Some IDE")
    assert "project" in page.text("#sessions h2")
    assert "waiting" in page.text(f'#sessions [data-session="{session}"]')
    page.click(f'#sessions [data-session="{session}"]')
    page.until_text("#about", str(project))
    assert "mode ask" in page.text("#about")
    shown = page.text("#items")
    for part in ("Greet politely", "Vienna, then.", "Greet as in Vienna", "Edit app.py", "Allow"):
        assert part in shown
    assert "return 'Hello '" in page.text("#items .removed")
    assert "return 'Servus '" in page.text("#items .added")
    question = client.until(lambda each: each.get("method") == "session/request_permission")
    allowed = {"outcome": {"outcome": "selected", "optionId": "allow_once"}}
    client.socket.send(json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": allowed}))
    assert client.answer_to(prompt)["result"]["stopReason"] == "end_turn"
    page.until_text("#items", "the turn ended")
    assert "Now in Viennese." in page.text("#items")
    assert "completed" in page.text("#items .call:nth-of-type(1), #items .call")
    assert not page.text("#questions")
    page.until_text("#log", "session opened")
    page.until_text("#numbers", "memory")
    page.click("#tab-clients")
    page.until_text("#clients", "Some IDE")
    client.close()
    page.until_text(f'#sessions [data-session="{session}"]', "closed")
    assert page.complaints() == []
    own = server.record.url
    assert page.requested() == {f"{own}/", f"{own}/page.js", f"{own}/page.css", f"{own}/live"}


def test_a_turn_is_cancelled_by_its_button(
    browser: Browser, server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted(SLOW)
    page = page_of(browser, server)
    client, session = client_of(server, project)
    prompt = client.begin_prompt(session)
    client.until(chunk)
    page.click(f'#sessions [data-session="{session}"]')
    page.until_text("#items", "One word")
    page.click("#about .cancel")
    assert client.answer_to(prompt)["result"]["stopReason"] == "cancelled"
    page.until_text("#items", "cancelled")
    page.until("!document.querySelector('.cancel')")
    client.close()


def test_whatever_comes_stays_text(
    browser: Browser, server: RunningServer, scripted: Use, tmp_path: Path
) -> None:
    folder = tmp_path / HOSTILE.replace("/", "∕")
    folder.mkdir()
    (folder / "page.html").write_text(HOSTILE + "\n")
    calls = [
        {"tool": "read_file", "arguments": {"path": "page.html"}},
        {"tool": "run_command", "arguments": {"command": f"echo '{HOSTILE}'"}},
        {
            "tool": "update_plan",
            "arguments": {"steps": [{"content": HOSTILE, "status": "pending"}]},
        },
        {
            "tool": "edit_file",
            "arguments": {
                "path": "page.html",
                "edits": [{"old_text": "bold", "new_text": f"{HOSTILE} bolder"}],
            },
        },
    ]
    scripted({"text": HOSTILE, "thought": HOSTILE, "calls": calls}, {"text": HOSTILE}, mode="ask")
    page = page_of(browser, server)
    client, session = client_of(server, folder, HOSTILE)
    assert client.prompt(session, HOSTILE) == "end_turn"
    page.click(f'#sessions [data-session="{session}"]')
    page.until_text("#items", "the turn ended")
    page.click("#tab-clients")
    for place in ("#items", "#sessions", "#about", "#clients"):
        assert "<img src=x onerror=" in page.text(place), place
    for place in (".prompt", ".item.text", ".thought", ".call", ".question", ".plan", ".added"):
        found = page.js(f"document.querySelector({json.dumps('#items ' + place)}).textContent")
        assert "<script>window.hit=1</script>" in found, place
    assert page.js("document.querySelectorAll('img, body script, b b, iframe').length") == 0
    assert page.js("window.hit ?? 0") == 0
    assert page.complaints() == []
    client.close()


def test_results_written_as_markdown_are_shown_plain(
    browser: Browser, server: RunningServer, scripted: Use, project: Path
) -> None:
    command = "printf 'one\\ntwo\\n'; exit 3"
    run = {"tool": "run_command", "arguments": {"command": command}}
    scripted({"calls": [run]}, {"text": "Ran."}, mode="auto")
    page = page_of(browser, server)
    client, session = client_of(server, project)
    assert client.prompt(session) == "end_turn"
    page.click(f'#sessions [data-session="{session}"]')
    page.until_text("#items", "the turn ended")
    assert page.text("#items .call .title") == command
    output = page.js("document.querySelector('#items .call .output').textContent")
    assert output.splitlines() == ["exit code 3", "one", "two"]
    client.close()


def test_the_log_is_filtered(browser: Browser, server: RunningServer, project: Path) -> None:
    client, session = client_of(server, project)
    client.close()
    page = page_of(browser, server)
    page.until_text("#log", session)
    page.js(
        "(() => { const filter = document.querySelector('#filter');"
        f"filter.value = '{session}'; filter.dispatchEvent(new Event('input')) }})()"
    )
    lines = page.text("#log").splitlines()
    assert lines
    assert "serving" not in page.text("#log")
    page.js(
        "(() => { const level = document.querySelector('#level');"
        "level.value = '3'; level.dispatchEvent(new Event('change')) })()"
    )
    assert page.text("#log").strip() == ""


def test_without_the_right_token_nothing_is_shown(browser: Browser, server: RunningServer) -> None:
    page = browser.open(f"{server.record.url}/")
    page.until_text("#link", "No token. Open the address that `punie status` prints.")
    page.go(f"{server.record.url}/?again#token=wrong-{'x' * 30}")
    page.until_text("#link", "The token is not the one of this server")
    assert "token" not in page.js("location.href")
    assert page.text("#sessions") == ""


@contextmanager
def other_site(body: str) -> Iterator[str]:
    """A page of somebody else's on the same machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=site.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{site.server_port}/"
    finally:
        site.shutdown()
        thread.join()
        site.server_close()


ATTACKS = """
const SERVER = %s, TOKEN = %s, SESSION = %s;
const outcome = (promise) => promise.then((value) => value, () => "failed");
const socket = (protocols) => new Promise((done) => {
  const one = new WebSocket(SERVER.replace("http", "ws") + "/acp", protocols);
  one.onopen = () => done("open");
  one.onerror = () => done("failed");
});
const read = (path, options) =>
  outcome(fetch(SERVER + path, options).then((answer) => answer.text()));
const bearer = { Authorization: `Bearer ${TOKEN}` };
const cancel = JSON.stringify({ session: SESSION });
const element = (tag, source) => new Promise((done) => {
  const one = document.createElement(tag);
  one.onload = () => done("loaded");
  one.onerror = () => done("failed");
  one.src = SERVER + source;
  document.body.append(one);
});
async function form() {
  const one = document.createElement("form");
  one.method = "post";
  one.action = SERVER + "/live/cancel";
  one.enctype = "text/plain";
  one.target = "sink";
  const field = document.createElement("input");
  field.name = cancel.slice(0, -1) + ',"a":"';
  field.value = '"}';
  one.append(field);
  document.body.append(one);
  one.submit();
  await new Promise((done) => setTimeout(done, 300));
  return "sent";
}
window.attack = async () => ({
  socket: await socket(["acp"]),
  "socket with the token": await socket(["acp", "punie.token." + TOKEN]),
  page: await read("/"),
  health: await read("/health"),
  live: await read("/live", { headers: bearer }),
  numbers: await read("/metrics", { headers: bearer }),
  cancel: await read("/live/cancel", {
    method: "POST", headers: { ...bearer, "Content-Type": "application/json" }, body: cancel,
  }),
  "blind cancel": await read("/live/cancel", { method: "POST", mode: "no-cors", body: cancel }),
  "blind prompt": await read("/acp", { method: "POST", mode: "no-cors", body: "{}" }),
  script: await element("script", "/page.js"),
  form: await form(),
  frame: await (async () => {
    const frame = document.createElement("iframe");
    frame.src = SERVER + "/#token=" + TOKEN;
    document.body.append(frame);
    await new Promise((done) => { frame.onload = done; });
    try { return frame.contentDocument ? "readable" : "opaque"; } catch { return "opaque"; }
  })(),
});
"""


def test_a_page_from_elsewhere_can_neither_connect_nor_read(
    browser: Browser, server: RunningServer, scripted: Use, project: Path
) -> None:
    """Not even one that got hold of the token."""
    scripted(SLOW)
    client, session = client_of(server, project)
    prompt = client.begin_prompt(session)
    client.until(chunk)
    script = ATTACKS % (
        json.dumps(server.record.url), json.dumps(server.token), json.dumps(session),
    )  # fmt: skip
    sink = '<iframe name="sink"></iframe>'
    with other_site(f"<!doctype html><body>{sink}<script>{script}</script>") as url:
        page = browser.open(url)
        outcomes = page.js("window.attack()")
        assert outcomes == {
            "socket": "failed",
            "socket with the token": "failed",
            "page": "failed",
            "health": "failed",
            "live": "failed",
            "numbers": "failed",
            "cancel": "failed",
            # These are sent, and all that comes back is empty.
            "blind cancel": "",
            "blind prompt": "",
            "script": "failed",
            "form": "sent",
            "frame": "opaque",
        }
        refused = [text for text in page.complaints() if "frame-ancestors" in text]
        assert refused
    numbers = status_of(server)
    assert (numbers["clients"], numbers["turns"]) == (1, 1)
    client.notify("session/cancel", {"sessionId": session})
    client.answer_to(prompt)
    client.close()


def test_a_page_of_the_server_itself_may_speak_the_protocol(
    browser: Browser, server: RunningServer
) -> None:
    """What is refused elsewhere works here, so it is not refused for another reason."""
    page = page_of(browser, server)
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 1}}
    answer = page.js(
        "new Promise((done) => {"
        f"const socket = new WebSocket(location.origin.replace('http', 'ws') + '/acp',"
        f" ['acp', 'punie.token.{server.token}']);"
        f"socket.onopen = () => socket.send({json.dumps(json.dumps(request))});"
        "socket.onmessage = (event) => done([socket.protocol, JSON.parse(event.data)]);"
        "socket.onerror = () => done('failed') })"
    )
    assert answer[0] == "acp"
    assert answer[1]["result"]["agentInfo"]["name"] == "punie"


def test_the_page_comes_back_with_the_server(
    browser: Browser, start_server: StartServer, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    token = tmp_path / "token"
    token.write_text("a-token-of-my-own-0123456789")
    arguments = ("--port", port, "--token-file", str(token))
    server = wait_ready(start_server(*arguments))
    page = page_of(browser, server)
    page.until_text("#link", "live")
    # It shows, and is no client: nothing waits for it.
    assert status_of(server)["clients"] == 0
    assert server.stop() == 0
    page.until_text("#link", "The server does not answer; trying again.")
    server = wait_ready(start_server(*arguments))
    page.until_text("#link", "live")
    assert page.complaints() == [] or all("ERR_" in text for text in page.complaints())
