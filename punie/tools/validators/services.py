"""Registration and injection of services with svcs and svcs-di.

svcs keeps factories in a `Registry` and calls them from a `Container`; svcs-di fills parameters and
fields that are annotated `Inject[T]`.
"""

from collections.abc import Iterator

import libcst as cst

from punie.tools.validators.base import Issue, Rule, Validator
from punie.tools.validators.components import INJECT, RENDERERS, gives_a_value
from punie.tools.validators.module import (
    Function,
    Module,
    argument,
    methods,
    positional,
    statements,
)
from punie.tools.validators.project import Definition, Project

FACTORY = Rule(
    "svcs-factory-arguments",
    "error",
    "A factory with several arguments that have neither an annotation nor a default is registered",
    "take no argument, or only svcs_container",
)
VALUE = Rule(
    "svcs-value-is-class",
    "error",
    "A class is registered as the value of itself, so that callers get the class and no instance",
    "use register_factory, or register an instance",
)
NOT_INJECTABLE = Rule(
    "svcs-not-injectable",
    "error",
    "A class with Inject fields is no dataclass and has no __init__, so that nothing is injected",
    "decorate it with dataclasses.dataclass",
)
NEEDS_COMPONENT = Rule(
    "svcs-service-needs-component",
    "error",
    "A service has a component injected; services are below what renders them",
    "let the component depend on the service",
)
NOT_IMPORTED = Rule(
    "svcs-type-not-imported",
    "error",
    "The type in Inject[...] is not there when the program runs",
    "import it outside of TYPE_CHECKING",
)
CYCLE = Rule(
    "svcs-dependency-cycle",
    "error",
    "Services need each other in a circle, so that none of them can be made",
    "take one dependency out, or get it from the container when it is used",
)
LIFETIME = Rule(
    "svcs-container-kept",
    "warning",
    "A container is made at module level, so that its services live as long as the program",
    "make a container for every request or task, and close it",
)

LIBRARIES = frozenset({"svcs", "svcs_di"})
_CONTAINERS = (
    "svcs.Container",
    "svcs_di.injectors.HopscotchContainer",
    "svcs_di.HopscotchContainer",
)
_NODES = ("tdom.Node", "tdom.Element", "tdom.Fragment", "string.templatelib.Template")


def check(module: Module, project: Project) -> Iterator[Issue]:
    """Check one module, if it uses svcs or svcs-di."""
    if not module.imported_roots & LIBRARIES:
        return
    for call in module.nodes(cst.Call):
        yield from _registration(module, project, call)
    for node in module.nodes(cst.ClassDef):
        yield from _service(module, project, node)
    for function in module.nodes(Function):
        for parameter in (*positional(function), *function.params.kwonly_params):
            wanted = _injected(module, parameter.annotation)
            if wanted is not None:
                yield from _imported(module, wanted)
    yield from _cycles(module, project)


def _registration(module: Module, project: Project, call: cst.Call) -> Iterator[Issue]:
    if module.qualified(call.func) in _CONTAINERS and module.function_of(call) is None:
        inside = [node for node in module.ancestors(call) if isinstance(node, cst.With | cst.If)]
        if not inside and any(isinstance(node, cst.Assign) for node in module.ancestors(call)):
            yield LIFETIME.at(module, call, "the container is never closed")
    if not isinstance(call.func, cst.Attribute):
        return
    kind, given = call.func.attr.value, argument(call, 0, "svc_type")
    if kind == "register_value" and given is not None:
        value = argument(call, 1, "value")
        name = module.qualified(given)
        if name and name == module.qualified(value) and project.find_class(name):
            yield VALUE.at(module, call, f"{name.rsplit('.', 1)[-1]} is its own value")
    if kind == "register_factory" and given is not None:
        function = _factory(module, project, argument(call, 1, "factory"))
        bare = [
            parameter.name.value
            for parameter in (positional(function) if function else [])
            if parameter.default is None and parameter.annotation is None
        ]
        if len(bare) > 1:
            yield FACTORY.at(module, call, f"the factory needs {' and '.join(bare)}")


def _factory(
    module: Module, project: Project, factory: cst.BaseExpression | None
) -> Function | cst.Lambda | None:
    """Return the function that is registered, if it stands in the project as it is."""
    if isinstance(factory, cst.Lambda):
        return factory
    found = project.find(module.qualified(factory))
    if found is None or not isinstance(found.node, Function) or found.node.decorators:
        return None
    return found.node


def _injected(module: Module, annotation: cst.Annotation | None) -> cst.BaseExpression | None:
    """Return T of an annotation `Inject[T]`."""
    value = annotation.annotation if annotation else None
    if not isinstance(value, cst.Subscript) or module.qualified(value.value) not in INJECT:
        return None
    index = value.slice[0].slice
    return index.value if isinstance(index, cst.Index) else None


def _fields(module: Module, node: cst.ClassDef) -> list[tuple[cst.AnnAssign, cst.BaseExpression]]:
    fields = []
    for item in statements(node):
        if isinstance(item, cst.AnnAssign):
            wanted = _injected(module, item.annotation)
            if wanted is not None:
                fields.append((item, wanted))
    return fields


def _service(module: Module, project: Project, node: cst.ClassDef) -> Iterator[Issue]:
    fields = _fields(module, node)
    if not fields:
        return
    names = [name.rsplit(".", 1)[-1] for name in module.decorators(node)]
    plain = not node.bases and not node.keywords and "__init__" not in methods(node)
    if plain and all(name in ("injectable", "middleware") for name in names):
        yield NOT_INJECTABLE.at(module, node, f"nothing is injected into {node.name.value}")
    for field, wanted in fields:
        yield from _imported(module, wanted)
        found = project.find_class(module.qualified(wanted))
        if found and _is_component(found) and not _is_component(Definition(module, node)):
            name = found.node.name.value
            yield NEEDS_COMPONENT.at(module, field, f"{name} is a component")


def _is_component(found: Definition) -> bool:
    """Tell whether a class renders: its `__call__` says or shows that it returns a node."""
    if not isinstance(found.node, cst.ClassDef):
        return False
    call = methods(found.node).get("__call__")
    if call is None or not gives_a_value(call):
        return False
    if call.returns and found.module.qualified(call.returns.annotation) in _NODES:
        return True
    return any(
        isinstance(item, cst.Return)
        and (
            isinstance(item.value, cst.TemplatedString)
            or (
                isinstance(item.value, cst.Call)
                and found.module.qualified(item.value.func) in RENDERERS
            )
        )
        for item in statements(call)
    )


def _imported(module: Module, wanted: cst.BaseExpression) -> Iterator[Issue]:
    if not isinstance(wanted, cst.Name):
        return
    name = wanted.value
    if name in module.bindings or any(
        inner.name.value == name for inner in module.nodes(cst.ClassDef)
    ):
        return
    if any(isinstance(node.names, cst.ImportStar) for node in module.nodes(cst.ImportFrom)):
        return
    if name in module.rebound or name in _type_parameters(module):
        return
    if name not in module.imports:
        if name not in dir(__import__("builtins")):
            yield NOT_IMPORTED.at(module, wanted, f"{name} is not imported")
    elif _only_for_checking(module, name):
        yield NOT_IMPORTED.at(module, wanted, f"{name} is imported for type checking only")


def _type_parameters(module: Module) -> set[str]:
    return {parameter.param.name.value for parameter in module.nodes(cst.TypeParam)}


def _only_for_checking(module: Module, name: str) -> bool:
    places = [
        alias
        for alias in module.nodes(cst.ImportAlias)
        if name == (alias.asname.name.value if alias.asname else alias.name.value)  # type: ignore[union-attr]
    ]
    return bool(places) and all(
        any(
            isinstance(outer, cst.If)
            and module.qualified(outer.test) in ("typing.TYPE_CHECKING", "TYPE_CHECKING")
            for outer in module.ancestors(place)
        )
        for place in places
    )


def _needs(project: Project, name: str) -> list[str]:
    """Return the full names of the classes that a class has injected."""
    found = project.find_class(name)
    if found is None or not isinstance(found.node, cst.ClassDef):
        return []
    targets = [
        project.find_class(found.module.qualified(wanted))
        for _, wanted in _fields(found.module, found.node)
    ]
    return [target.name for target in targets if target is not None]


def _cycles(module: Module, project: Project) -> Iterator[Issue]:
    """Report every circle once: at its first class in the order of names."""
    for node in module.nodes(cst.ClassDef):
        start = f"{module.name}.{node.name.value}"
        circle = _way(project, start, start, (start,), set())
        if circle is not None and min(circle) == start:
            names = [name.rsplit(".", 1)[-1] for name in (*circle, start)]
            yield CYCLE.at(module, node, " needs ".join(names))


def _way(
    project: Project, here: str, goal: str, way: tuple[str, ...], seen: set[str]
) -> tuple[str, ...] | None:
    for needed in _needs(project, here):
        if needed == goal:
            return way
        if needed not in seen:
            seen.add(needed)
            found = _way(project, needed, goal, (*way, needed), seen)
            if found is not None:
                return found
    return None


SERVICES = Validator(
    "services",
    "Registration and injection of services (svcs, svcs-di)",
    (FACTORY, VALUE, NOT_INJECTABLE, NEEDS_COMPONENT, NOT_IMPORTED, CYCLE, LIFETIME),
    check,
)
