import pytest

from tests.tools.validators.conftest import found

FASTAPI = "from fastapi import FastAPI, APIRouter\napp = FastAPI()\nrouter = APIRouter()\n"
FLASK = "from flask import Flask, Blueprint\napp = Flask('x')\nbp = Blueprint('b', 'b')\n"
STARLETTE = "from starlette.routing import Route, WebSocketRoute, Mount\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{FASTAPI}@app.get('items')\ndef f(): ...\n", ["4 route-slash"]),
        (f"{FLASK}@app.route('items')\ndef f(): ...\n", ["4 route-slash"]),
        (f"{STARLETTE}x = [Route('items', f)]\n", ["2 route-slash"]),
        (f"{FASTAPI}@app.get('/a/{{id')\ndef f(id): ...\n", ["4 route-braces"]),
        (f"{FASTAPI}@app.get('/{{id}}/{{id}}')\ndef f(id): ...\n", ["4 route-braces"]),
        (f"{FLASK}@app.route('/<id')\ndef f(): ...\n", ["4 route-braces"]),
        (f"{STARLETTE}x = [Route('/{{a}}}}', f)]\n", ["2 route-braces"]),
        (f"{FLASK}@app.route('/<int:id>')\ndef f(): ...\n", ["4 route-parameters"]),
        (f"{FLASK}@app.route('/')\ndef f(id): ...\n", ["4 route-parameters"]),
        (f"{STARLETTE}def f(): ...\nx = [Route('/', f)]\n", ["3 route-parameters"]),
        (f"{STARLETTE}def f(a, b): ...\nx = [Route('/', f)]\n", ["3 route-parameters"]),
        (
            f"{FASTAPI}@app.get('/a')\ndef f(): ...\n@app.get('/a')\ndef g(): ...\n",
            ["6 route-duplicate"],
        ),
        (f"{STARLETTE}x = [Route('/', f), Route('/', g)]\n", ["2 route-duplicate"]),
        (
            f"{FLASK}@app.get('/a')\ndef f(): ...\n"
            "@app.route('/a', methods=['GET', 'POST'])\ndef g(): ...\n",
            ["6 route-duplicate"],
        ),
    ],
)
def test_routes_that_do_not_work(text: str, said: list[str]) -> None:
    assert found(text) == said


@pytest.mark.parametrize(
    "text",
    [
        f"{FASTAPI}@app.get('/items/{{id:path}}')\ndef f(id): ...\n",
        f"{FASTAPI}@router.get('')\ndef f(): ...\n",
        f"{FASTAPI}@app.get('/a')\ndef f(): ...\n@app.post('/a')\ndef g(): ...\n",
        f"{FASTAPI}@app.get('/a')\ndef f(): ...\n@router.get('/a')\ndef g(): ...\n",
        f"{FASTAPI}@app.get(PATH)\ndef f(): ...\n",
        f"{FASTAPI}if x:\n    @app.get('/a')\n    def f(): ...\n"
        "else:\n    @app.get('/a')\n    def f(): ...\n",
        f"{FLASK}@bp.route('items')\ndef f(): ...\n",
        f"{FLASK}@app.route('/<int:id>')\ndef f(id, more=1): ...\n",
        f"{FLASK}@app.route('/<id>')\ndef f(**kwargs): ...\n",
        f"{FLASK}@app.route('/<id>')\n@login\ndef f(): ...\n",
        f"{FLASK}@app.route('/', defaults={{'id': 1}})\ndef f(id): ...\n",
        f"{STARLETTE}def f(request): ...\nx = [Route('/', f)]\n",
        f"{STARLETTE}class F: ...\nx = [Route('/', F)]\n",
        f"{STARLETTE}x = [Route('/', f)]\ny = [Route('/', f)]\n",
        f"{STARLETTE}x = [Route('/', f, methods=['GET']), Route('/', g, methods=['POST'])]\n",
        "app = client()\n@app.get('items')\ndef f(): ...\n",
        "from other import FastAPI\napp = FastAPI()\n@app.get('items')\ndef f(): ...\n",
    ],
)
def test_routes_that_work(text: str) -> None:
    assert found(text) == []


BASE = "from starlette.middleware.base import BaseHTTPMiddleware\nclass M(BaseHTTPMiddleware):\n"
ADD = "from starlette.middleware import Middleware\nclass M:\n    {}\nMiddleware(M)\n"
TDOM = "from tdom_svcs.middleware import middleware\n@middleware\nclass M:\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{BASE}    async def dispatch(self, request): ...\n", ["3 middleware-signature"]),
        (f"{BASE}    def dispatch(self, request, call_next): ...\n", ["3 middleware-signature"]),
        (f"{BASE}    async def dispatch(self, request, call_next): ...\n", []),
        (f"{BASE}    async def dispatch(self, *args): ...\n", []),
        (ADD.format("async def __call__(self, request): ..."), ["4 middleware-signature"]),
        (ADD.format("async def __call__(self, scope, receive, send): ..."), []),
        (ADD.format("def other(self): ..."), []),
        (
            f"{FASTAPI}@app.middleware('http')\nasync def m(request): ...\n",
            ["5 middleware-signature"],
        ),
        (f"{FASTAPI}@app.middleware('http')\nasync def m(request, call_next): ...\n", []),
        (
            f"{TDOM}    priority: int = 0\n    def __call__(self, component, props): ...\n",
            ["5 middleware-signature"],
        ),
        (
            f"{TDOM}    def __call__(self, component, props, context): ...\n",
            ["3 middleware-priority"],
        ),
        (
            f"{TDOM}    priority = 0\n    def __call__(self, component, props, context): ...\n",
            [],
        ),
    ],
)
def test_middleware(text: str, said: list[str]) -> None:
    assert found(text) == said
