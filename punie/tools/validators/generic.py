"""Dataclasses, protocols and asynchronous code: mistakes that every project can make."""

from collections.abc import Iterator

import libcst as cst

from punie.tools.validators.base import Issue, Rule, Validator
from punie.tools.validators.module import (
    Function,
    Module,
    argument,
    is_stub,
    methods,
    statements,
)
from punie.tools.validators.project import Project

MUTABLE_DEFAULT = Rule(
    "dataclass-mutable-default",
    "error",
    "A dataclass field has a list, dict or set as its default, which dataclasses refuse",
    "use field(default_factory=...)",
)
FROZEN_ASSIGNMENT = Rule(
    "dataclass-frozen-assignment",
    "error",
    "A method of a frozen dataclass assigns to a field, which raises FrozenInstanceError",
    "return dataclasses.replace(self, ...)",
)
FIELD_ORDER = Rule(
    "dataclass-field-order",
    "error",
    "A dataclass field without a default follows one with a default, which raises TypeError",
    "move it up, or make the class kw_only",
)
NOT_RUNTIME = Rule(
    "protocol-isinstance",
    "error",
    "isinstance or issubclass is asked about a protocol that is not runtime_checkable",
    "decorate the protocol with typing.runtime_checkable",
)
MISSING_MEMBER = Rule(
    "protocol-missing-member",
    "warning",
    "A class that names a protocol as its base leaves one of its methods to the empty body there",
    "define the method",
)
NOT_AWAITED = Rule(
    "async-not-awaited",
    "error",
    "An async function is called as a statement without await, so that it never runs",
    "put await before the call",
)
BLOCKING = Rule(
    "async-blocking-call",
    "warning",
    "An async function calls something that blocks the whole event loop",
    "use the asynchronous counterpart, or run it in a thread",
)
TASK_DROPPED = Rule(
    "async-task-dropped",
    "warning",
    "The result of create_task is dropped, so that the task may be garbage collected while it runs",
    "keep the task, or use a task group",
)
ASYNC_WITH = Rule(
    "async-with-missing",
    "error",
    "An asynchronous context manager is entered with a plain with",
    "write async with",
)

_DATACLASS = "dataclasses.dataclass"
_PROTOCOLS = ("typing.Protocol", "typing_extensions.Protocol")
_RUNTIME = ("typing.runtime_checkable", "typing_extensions.runtime_checkable")
_CLASS_VARIABLES = ("typing.ClassVar", "dataclasses.InitVar", "dataclasses.KW_ONLY")
_MUTABLE_CALLS = ("list", "dict", "set")
_HTTP = ("get", "post", "put", "patch", "delete", "head", "options", "request")
_BLOCKING_CALLS = {
    "time.sleep": "asyncio.sleep",
    "urllib.request.urlopen": "an asynchronous client",
    "subprocess.run": "asyncio.create_subprocess_exec",
    "subprocess.call": "asyncio.create_subprocess_exec",
    "subprocess.check_call": "asyncio.create_subprocess_exec",
    "subprocess.check_output": "asyncio.create_subprocess_exec",
    **{f"requests.{name}": "an asynchronous client" for name in _HTTP},
}
_TASKS = ("asyncio.create_task", "asyncio.ensure_future")
_ASYNC_MANAGERS = (
    "anyio.create_task_group",
    "asyncio.TaskGroup",
    "asyncio.timeout",
    "asyncio.timeout_at",
    "aiohttp.ClientSession",
    "httpx.AsyncClient",
    "trio.open_nursery",
)


def check(module: Module, project: Project) -> Iterator[Issue]:
    """Check one module."""
    text = module.text
    if "dataclass" in text:
        for node in module.nodes(cst.ClassDef):
            if _DATACLASS in module.decorators(node):
                yield from _dataclass(module, node)
    if "isinstance" in text or "issubclass" in text:
        yield from _isinstance(module, project)
    yield from _implementers(module, project)
    yield from _async(module, project)


def _dataclass(module: Module, node: cst.ClassDef) -> Iterator[Issue]:
    call = module.decorators(node)[_DATACLASS]
    # Without an __init__ made from the fields their order says nothing.
    unordered = _is_set(call, "kw_only", "True") or _is_set(call, "init", "False")
    defaulted = ""
    for item in statements(node):
        if not isinstance(item, cst.AnnAssign) or not isinstance(item.target, cst.Name):
            continue
        annotation = _outer(module, item.annotation.annotation)
        if annotation == "dataclasses.KW_ONLY":
            unordered = True
        if annotation in _CLASS_VARIABLES or annotation == "?":
            continue
        name = item.target.value
        if _is_mutable(item.value):
            yield MUTABLE_DEFAULT.at(module, item, f"{name} has a mutable default")
        if unordered:
            continue
        state = _default(module, item.value)
        if state == "default":
            defaulted = name
        elif state == "none" and defaulted:
            message = f"{name} has no default but follows {defaulted}, which has one"
            yield FIELD_ORDER.at(module, item, message)
    if _is_set(call, "frozen", "True"):
        yield from _frozen(module, node)


def _is_set(call: cst.Call | None, name: str, wanted: str) -> bool:
    value = argument(call, 99, name) if call else None
    return isinstance(value, cst.Name) and value.value == wanted


def _outer(module: Module, annotation: cst.BaseExpression) -> str:
    """Return what an annotation is without its parameters; "?" for a text that may be anything."""
    if isinstance(annotation, cst.Subscript):
        annotation = annotation.value
    if isinstance(annotation, cst.SimpleString):
        return "?" if "ClassVar" in annotation.value or "InitVar" in annotation.value else ""
    return module.qualified(annotation)


def _is_mutable(value: cst.BaseExpression | None) -> bool:
    if isinstance(value, cst.List | cst.Dict | cst.Set | cst.ListComp | cst.DictComp | cst.SetComp):
        return True
    return (
        isinstance(value, cst.Call)
        and isinstance(value.func, cst.Name)
        and value.func.value in _MUTABLE_CALLS
    )


def _default(module: Module, value: cst.BaseExpression | None) -> str:
    """Return "none", "default", or "other" for a field that the order does not matter for."""
    if value is None:
        return "none"
    if isinstance(value, cst.Call) and module.qualified(value.func) == "dataclasses.field":
        names = {given.keyword.value for given in value.args if given.keyword}
        if any(given.star for given in value.args) or names & {"init", "kw_only"}:
            return "other"
        return "default" if names & {"default", "default_factory"} else "none"
    if isinstance(value, cst.Call):
        return "other"
    return "default"


def _frozen(module: Module, node: cst.ClassDef) -> Iterator[Issue]:
    fields = {
        item.target.value
        for item in statements(node)
        if isinstance(item, cst.AnnAssign) and isinstance(item.target, cst.Name)
    }
    own = {id(method): name for name, method in methods(node).items()}
    for target in module.nodes(cst.AssignTarget):
        attribute = target.target
        if not (
            isinstance(attribute, cst.Attribute)
            and isinstance(attribute.value, cst.Name)
            and attribute.value.value == "self"
            and attribute.attr.value in fields
        ):
            continue
        function = module.function_of(target)
        if function is not None and id(function) in own and own[id(function)] != "__setstate__":
            yield FROZEN_ASSIGNMENT.at(
                module, target, f"self.{attribute.attr.value} is assigned in a frozen dataclass"
            )


def _protocol(project: Project, name: str) -> tuple[Module, cst.ClassDef] | None:
    """Return the protocol of that name, if it is one of the project's."""
    found = project.find_class(name)
    if found is None or not isinstance(found.node, cst.ClassDef):
        return None
    is_one = any(base in _PROTOCOLS for base in found.module.bases(found.node))
    return (found.module, found.node) if is_one else None


def _isinstance(module: Module, project: Project) -> Iterator[Issue]:
    for call in module.nodes(cst.Call):
        if not isinstance(call.func, cst.Name) or len(call.args) != 2:
            continue
        if call.func.value not in ("isinstance", "issubclass"):
            continue
        kinds = call.args[1].value
        values = (
            [element.value for element in kinds.elements]
            if isinstance(kinds, cst.Tuple)
            else [kinds]
        )
        for value in values:
            if isinstance(value, cst.Name) and value.value in module.rebound:
                continue
            found = _protocol(project, module.qualified(value))
            if found and not any(name in _RUNTIME for name in found[0].decorators(found[1])):
                yield NOT_RUNTIME.at(
                    module, call, f"{found[1].name.value} is not a runtime_checkable protocol"
                )


def _implementers(module: Module, project: Project) -> Iterator[Issue]:
    for node in module.nodes(cst.ClassDef):
        bases = module.bases(node)
        if not bases or node.name.value in project.subclassed or node.keywords:
            continue
        found = [_protocol(project, base) for base in bases]
        own = {**methods(node)}
        fields = _class_names(node)
        # With nothing but outlines of methods it is an interface itself.
        outline = bool(own) and all(is_stub(method) for method in own.values())
        if outline or "__getattr__" in own or any(protocol is None for protocol in found):
            continue
        for protocol in found:
            assert protocol is not None
            for name, method in methods(protocol[1]).items():
                decorators = protocol[0].decorators(method)
                if name in own or name in fields or name.startswith("__") or not is_stub(method):
                    continue
                if any(part.rsplit(".", 1)[-1] != "abstractmethod" for part in decorators):
                    continue
                if _returns_nothing(method) or len(protocol[0].bases(protocol[1])) > 1:
                    continue
                yield MISSING_MEMBER.at(
                    module, node, f"{node.name.value} lacks {name} of {protocol[1].name.value}"
                )


def _class_names(node: cst.ClassDef) -> set[str]:
    names: set[str] = set()
    for item in statements(node):
        if isinstance(item, cst.AnnAssign) and isinstance(item.target, cst.Name):
            names.add(item.target.value)
        elif isinstance(item, cst.Assign):
            names |= {
                target.target.value
                for target in item.targets
                if isinstance(target.target, cst.Name)
            }
    return names


def _returns_nothing(method: Function) -> bool:
    """Tell whether an inherited empty body may be meant: the method has no result."""
    returns = method.returns.annotation if method.returns else None
    return returns is None or (isinstance(returns, cst.Name) and returns.value == "None")


def _async(module: Module, project: Project) -> Iterator[Issue]:
    for expression in module.nodes(cst.Expr):
        call = expression.value
        if not isinstance(call, cst.Call):
            continue
        if module.qualified(call.func) in _TASKS:
            yield TASK_DROPPED.at(module, call, "the task is not kept")
            continue
        function = _called(module, project, call)
        if function is not None and _is_coroutine(function):
            name = function.name.value
            yield NOT_AWAITED.at(module, call, f"{name} is async and is not awaited")
    for call in module.nodes(cst.Call):
        name = module.qualified(call.func)
        if name in _BLOCKING_CALLS and "." in name:
            function_of = module.function_of(call)
            if isinstance(function_of, Function) and function_of.asynchronous:
                message = f"{name} blocks the event loop; {_BLOCKING_CALLS[name]} does not"
                yield BLOCKING.at(module, call, message)
    for node in module.nodes(cst.With):
        if node.asynchronous:
            continue
        for item in node.items:
            if isinstance(item.item, cst.Call):
                name = module.qualified(item.item.func)
                if name in _ASYNC_MANAGERS:
                    yield ASYNC_WITH.at(module, node, f"{name} needs async with")


def _called(module: Module, project: Project, call: cst.Call) -> Function | None:
    """Return the function that a call surely means: of a module, or of the class it stands in."""
    if isinstance(call.func, cst.Attribute) and isinstance(call.func.value, cst.Name):
        if call.func.value.value == "self":
            function = module.function_of(call)
            owner = module.class_of(function) if function is not None else None
            if owner is None or owner.name.value in project.subclassed:
                return None
            method = methods(owner).get(call.func.attr.value)
            return method if method is not None and not method.decorators else None
        if call.func.value.value in module.rebound:
            return None
    elif isinstance(call.func, cst.Name):
        if call.func.value in module.rebound:
            return None
        if any(
            inner.name.value == call.func.value
            for inner in module.nodes(Function)
            if module.function_of(inner) is not None
        ):
            return None
    found = project.find(module.qualified(call.func))
    if found is None or not isinstance(found.node, Function) or found.node.decorators:
        return None
    return found.node


def _is_coroutine(function: Function) -> bool:
    """Tell whether calling the function makes a coroutine: an async one that yields nothing."""
    if function.asynchronous is None:
        return False
    finder = _Yields()
    function.body.visit(finder)
    return not finder.found


class _Yields(cst.CSTVisitor):
    def __init__(self) -> None:
        self.found = False

    def visit_Yield(self, node: cst.Yield) -> None:  # noqa: N802
        self.found = True

    def visit_FunctionDef(self, node: Function) -> bool:  # noqa: N802
        return False

    def visit_Lambda(self, node: cst.Lambda) -> bool:  # noqa: N802
        return False


GENERIC = Validator(
    "generic",
    "Dataclasses, protocols and asynchronous code",
    (
        MUTABLE_DEFAULT,
        FROZEN_ASSIGNMENT,
        FIELD_ORDER,
        NOT_RUNTIME,
        MISSING_MEMBER,
        NOT_AWAITED,
        BLOCKING,
        TASK_DROPPED,
        ASYNC_WITH,
    ),
    check,
)
