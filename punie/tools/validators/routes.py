"""Routes and middleware of Starlette, FastAPI and Flask, and the middleware of tdom-svcs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from punie.tools.validators.base import Issue, Rule, Validator
from punie.tools.validators.module import (
    Function,
    Module,
    argument,
    methods,
    positional,
    statements,
    text_value,
)
from punie.tools.validators.project import Project

SLASH = Rule(
    "route-slash",
    "error",
    "A route's path does not start with a slash, which the framework refuses",
    "put a slash before it",
)
BRACES = Rule(
    "route-braces",
    "error",
    "The braces around a route's parameters are not balanced, or a name is used twice",
    "write every parameter as {name}, or <name> in Flask",
)
DUPLICATE = Rule(
    "route-duplicate",
    "warning",
    "The same path and method is routed twice in one application, and only the first is reached",
    "remove one of them, or change its path",
)
PARAMETERS = Rule(
    "route-parameters",
    "error",
    "A handler does not take what its route gives it, which fails with every request",
    "make the handler's parameters those of the route",
)
MIDDLEWARE = Rule(
    "middleware-signature",
    "error",
    "Middleware does not have the signature that it is called with",
    "Starlette: async dispatch(self, request, call_next), or __call__(self, scope, receive, send); "
    "tdom-svcs: __call__(self, component, props, context)",
)
PRIORITY = Rule(
    "middleware-priority",
    "error",
    "Middleware of tdom-svcs has no priority, by which the chain is ordered",
    "add a field priority: int = 0",
)

LIBRARIES = frozenset({"starlette", "fastapi", "flask", "tdom_svcs"})
_VERBS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
_BASE = (
    "starlette.middleware.base.BaseHTTPMiddleware",
    "fastapi.middleware.base.BaseHTTPMiddleware",
)
_ADDED = ("starlette.middleware.Middleware", "fastapi.middleware.Middleware")
_TDOM_MIDDLEWARE = ("tdom_svcs.middleware", "tdom_svcs.middleware.middleware")
_STARLETTE_ROUTES = ("starlette.routing.Route", "starlette.routing.WebSocketRoute")
_APPLICATIONS = {
    "fastapi.FastAPI": "fastapi",
    "fastapi.applications.FastAPI": "fastapi",
    "fastapi.APIRouter": "router",
    "fastapi.routing.APIRouter": "router",
    "flask.Flask": "flask",
    "flask.Blueprint": "blueprint",
}
_BRACED = re.compile(r"\{([a-zA-Z_]\w*)(?::[a-zA-Z_]\w*)?\}")
_ANGLED = re.compile(r"<(?:[^<>:]+:)?([a-zA-Z_]\w*)>")


@dataclass(frozen=True)
class _Route:
    """A path on an application object, the methods it answers and its handler."""

    call: cst.Call
    kind: str
    application: str
    path: str
    verbs: frozenset[str]
    handler: Function | None = None


def check(module: Module, project: Project) -> Iterator[Issue]:
    """Check one module, if it uses one of the frameworks."""
    if not module.imported_roots & LIBRARIES:
        return
    seen: dict[tuple[str, str, str], int] = {}
    for route in (*_decorated(module), *_listed(module, project)):
        yield from _path(module, route)
        yield from _handler(module, route)
        if route.application:
            for verb in sorted(route.verbs):
                key = (route.application, route.path, verb)
                if key in seen:
                    message = f"{verb} {route.path} is routed on line {seen[key]} already"
                    yield DUPLICATE.at(module, route.call, message)
                    break
                seen[key] = module.line(route.call)
    yield from _middleware(module, project)


def _applications(module: Module) -> dict[str, str]:
    """Return the kinds of the application objects that are assigned once at module level."""
    found: dict[str, str] = {}
    for name, bound in module.bindings.items():
        value = getattr(bound[0], "value", None)
        if len(bound) == 1 and isinstance(value, cst.Call):
            kind = _APPLICATIONS.get(module.qualified(value.func))
            if kind is not None and name not in module.rebound - {name}:
                found[name] = kind
    return found


def _decorated(module: Module) -> Iterator[_Route]:
    applications = _applications(module)
    for function in module.nodes(Function):
        for decorator in function.decorators:
            call = decorator.decorator
            if not isinstance(call, cst.Call) or not isinstance(call.func, cst.Attribute):
                continue
            owner, verb = call.func.value, call.func.attr.value
            if not isinstance(owner, cst.Name) or owner.value not in applications:
                continue
            kind = applications[owner.value]
            path = text_value(argument(call, 0, "rule" if "flask" in kind else "path"))
            if path is None or verb not in (*_VERBS, "route", "api_route", "websocket"):
                continue
            verbs = _verbs(call, verb)
            top = module.function_of(function) is None
            plain = len(function.decorators) == 1
            special = {given.keyword.value for given in call.args if given.keyword}
            distinct = not special & {"host", "subdomain", "defaults"}
            yield _Route(
                call,
                kind,
                owner.value if top and distinct and not _in_branch(module, function) else "",
                path,
                verbs,
                function if plain and "defaults" not in special else None,
            )


def _in_branch(module: Module, node: cst.CSTNode) -> bool:
    return any(isinstance(outer, cst.If | cst.Else | cst.Try) for outer in module.ancestors(node))


def _verbs(call: cst.Call, verb: str) -> frozenset[str]:
    if verb in _VERBS:
        return frozenset({verb.upper()})
    if verb == "websocket":
        return frozenset({"WEBSOCKET"})
    given = argument(call, 99, "methods")
    if given is None:
        return frozenset({"GET"})
    if not isinstance(given, cst.List | cst.Tuple | cst.Set):
        return frozenset()
    values = [text_value(element.value) for element in given.elements]
    return frozenset(value.upper() for value in values if value)


def _listed(module: Module, project: Project) -> Iterator[_Route]:
    for call in module.nodes(cst.Call):
        name = module.qualified(call.func)
        if name not in _STARLETTE_ROUTES:
            continue
        path = text_value(argument(call, 0, "path"))
        if path is None:
            continue
        endpoint = argument(call, 1, "endpoint")
        found = project.find(module.qualified(endpoint))
        handler = found.node if found and isinstance(found.node, Function) else None
        if isinstance(endpoint, cst.Name) and endpoint.value in module.rebound:
            handler = None
        parents = module.ancestors(call)
        holder = next((outer for outer in parents if isinstance(outer, cst.List)), None)
        verbs = _verbs(call, "websocket" if name.endswith("WebSocketRoute") else "route")
        yield _Route(
            call,
            "starlette",
            f"[{id(holder)}" if holder is not None else "",
            path,
            verbs,
            None if handler is None or handler.decorators else handler,
        )


def _path(module: Module, route: _Route) -> Iterator[Issue]:
    path = route.path
    if not path.startswith("/") and not (
        route.kind == "blueprint" or (route.kind in ("router", "fastapi") and not path)
    ):
        yield SLASH.at(module, route.call, f'"{path}" does not start with a slash')
    flask = route.kind in ("flask", "blueprint")
    pattern, opening, closing = (_ANGLED, "<", ">") if flask else (_BRACED, "{", "}")
    names = pattern.findall(path)
    depth = 0
    for character in path:
        depth += (character == opening) - (character == closing)
        if depth not in (0, 1):
            break
    if depth != 0:
        yield BRACES.at(module, route.call, f'"{path}" has unbalanced {opening}{closing}')
    elif len(set(names)) < len(names):
        yield BRACES.at(module, route.call, f'"{path}" names a parameter twice')


def _handler(module: Module, route: _Route) -> Iterator[Issue]:
    function = route.handler
    if function is None:
        return
    name = function.name.value
    params = positional(function)
    if isinstance(function.params.star_arg, cst.Param):
        return
    if route.kind == "starlette":
        needed = [parameter for parameter in params if parameter.default is None]
        if len(params) < 1 or len(needed) > 1:
            what = "request" if "WEBSOCKET" not in route.verbs else "websocket"
            yield PARAMETERS.at(module, route.call, f"{name} is to take {what} and nothing else")
    if route.kind not in ("flask", "blueprint") or function.params.star_kwarg is not None:
        return
    given = set(_ANGLED.findall(route.path))
    named = [*function.params.params, *function.params.kwonly_params]
    taken = {parameter.name.value for parameter in named}
    required = {parameter.name.value for parameter in named if parameter.default is None}
    missing, unknown = sorted(given - taken), sorted(required - given)
    if missing:
        yield PARAMETERS.at(module, route.call, f"{name} does not take {missing[0]}")
    elif unknown and route.kind == "flask":
        yield PARAMETERS.at(module, route.call, f"the path does not give {unknown[0]} to {name}")


def _middleware(module: Module, project: Project) -> Iterator[Issue]:
    for node in module.nodes(cst.ClassDef):
        if any(base in _BASE for base in module.bases(node)):
            dispatch = methods(node).get("dispatch")
            if dispatch is not None and not dispatch.decorators:
                problem = _mismatch(dispatch, 3, must_be_async=True)
                if problem:
                    yield MIDDLEWARE.at(module, dispatch, f"dispatch {problem}")
        if any(name in _TDOM_MIDDLEWARE for name in module.decorators(node)):
            yield from _tdom_middleware(module, node)
    yield from _added(module, project)
    yield from _http_functions(module)


def _added(module: Module, project: Project) -> Iterator[Issue]:
    """Check the classes that are handed over as middleware."""
    for call in module.nodes(cst.Call):
        added = module.qualified(call.func) in _ADDED or (
            isinstance(call.func, cst.Attribute) and call.func.attr.value == "add_middleware"
        )
        kind = argument(call, 0, "middleware_class") or argument(call, 0, "cls")
        found = project.find_class(module.qualified(kind)) if added and kind else None
        if found is None or not isinstance(found.node, cst.ClassDef) or found.node.bases:
            continue
        run = methods(found.node).get("__call__")
        if run is not None and not run.decorators:
            problem = _mismatch(run, 4, must_be_async=False)
            if problem:
                yield MIDDLEWARE.at(module, call, f"{found.node.name.value}.__call__ {problem}")


def _http_functions(module: Module) -> Iterator[Issue]:
    """Check functions under `@app.middleware("http")` of FastAPI."""
    applications = _applications(module)
    for function in module.nodes(Function):
        for decorator in function.decorators:
            call = decorator.decorator
            if (
                isinstance(call, cst.Call)
                and isinstance(call.func, cst.Attribute)
                and call.func.attr.value == "middleware"
                and isinstance(call.func.value, cst.Name)
                and applications.get(call.func.value.value) == "fastapi"
                and len(function.decorators) == 1
            ):
                problem = _mismatch(function, 2, must_be_async=True)
                if problem:
                    yield MIDDLEWARE.at(module, function, f"{function.name.value} {problem}")


def _mismatch(function: Function, number: int, *, must_be_async: bool) -> str:
    """Return what is wrong with a function that gets so many arguments by position."""
    params = positional(function)
    required = [parameter for parameter in params if parameter.default is None]
    several = isinstance(function.params.star_arg, cst.Param)
    if len(required) > number or (len(params) < number and not several):
        return f"gets {number} arguments but takes {len(params)}"
    if must_be_async and function.asynchronous is None:
        return "is not async"
    return ""


def _tdom_middleware(module: Module, node: cst.ClassDef) -> Iterator[Issue]:
    name = node.name.value
    if node.bases:
        return
    run = methods(node).get("__call__")
    if run is None:
        yield MIDDLEWARE.at(module, node, f"{name} has no __call__")
    elif not run.decorators and _mismatch(run, 4, must_be_async=False):
        problem = _mismatch(run, 4, must_be_async=False)
        yield MIDDLEWARE.at(module, run, f"{name}.__call__ {problem}")
    names = set(methods(node))
    for item in statements(node):
        target = item.target if isinstance(item, cst.AnnAssign) else None
        if isinstance(target, cst.Name):
            names.add(target.value)
        if isinstance(item, cst.Assign):
            names |= {
                part.target.value for part in item.targets if isinstance(part.target, cst.Name)
            }
    if "priority" not in names and "__init__" not in names:
        yield PRIORITY.at(module, node, f"{name} has no priority")


ROUTES = Validator(
    "routes",
    "Routes and middleware (Starlette, FastAPI, Flask, tdom-svcs)",
    (SLASH, BRACES, DUPLICATE, PARAMETERS, MIDDLEWARE, PRIORITY),
    check,
)
