"""Components and templates of tdom (https://github.com/t-strings/tdom) and tdom-svcs.

tdom's `html` takes a t-string, parses it as HTML and calls what stands where a tag's name belongs,
with the attributes as keywords.
"""

from collections.abc import Iterator

import libcst as cst

from punie.tools.validators.base import Issue, Rule, Validator
from punie.tools.validators.module import (
    Function,
    Module,
    is_stub,
    methods,
    positional,
    statements,
)
from punie.tools.validators.project import Definition, Project
from punie.tools.validators.templates import Template, Use, read_template

NOT_A_TEMPLATE = Rule(
    "tdom-not-a-template",
    "error",
    "html() or svg() is given a string or an f-string, which it does not take and cannot escape",
    "give it a t-string",
)
TREE = Rule(
    "tdom-render-tree",
    "error",
    "The tags of a template do not match, so that tdom cannot parse it",
    "close every tag by the same tag, or write <br />",
)
NO_NODE = Rule(
    "tdom-component-returns-nothing",
    "error",
    "A function or class is used as a component but gives nothing to render",
    "return a t-string; in a class, from __call__",
)
ARGUMENTS = Rule(
    "tdom-component-arguments",
    "error",
    "A component needs an argument that its tag does not give, or takes it by position only",
    "give it as an attribute, or give the parameter a default",
)
NOT_A_DATACLASS = Rule(
    "tdom-component-class",
    "error",
    "A class with fields is used as a component but takes no arguments, as it is no dataclass",
    "decorate it with dataclasses.dataclass",
)
UNESCAPED = Rule(
    "tdom-unescaped",
    "warning",
    "An f-string is marked as safe HTML, so that what is put into it is not escaped",
    "put the values into a t-string",
)
CODE_CONTEXT = Rule(
    "tdom-code-context",
    "warning",
    "A value is put into a script or an event handler, where escaping for HTML is not enough",
    "hand the value over in a data attribute, or as JSON",
)
NO_CONTAINER = Rule(
    "tdom-svcs-no-context",
    "error",
    "html() of tdom-svcs uses a component with Inject fields without a context to inject from",
    "call html(t'...', context=container)",
)

LIBRARIES = frozenset({"tdom", "tdom_svcs"})
RENDERERS = ("tdom.html", "tdom.svg", "tdom.processor.html", "tdom_svcs.html", "tdom_svcs.svg")
_MARKUP = ("markupsafe.Markup", "tdom.Markup")
INJECT = tuple(f"svcs_di.{place}Inject" for place in ("", "auto.", "types.", "injectors."))
_DATACLASSES = ("dataclass", "define", "frozen", "mutable", "attrs", "s", "injectable")


def check(module: Module, project: Project) -> Iterator[Issue]:
    """Check one module, if it uses tdom."""
    if not module.imported_roots & LIBRARIES:
        return
    for call in module.nodes(cst.Call):
        name = module.qualified(call.func)
        first = call.args[0].value if call.args and not call.args[0].star else None
        if name in RENDERERS and _is_string(first):
            yield NOT_A_TEMPLATE.at(module, call, f"{name.rsplit('.', 1)[1]}() gets no t-string")
        if name in _MARKUP and isinstance(first, cst.FormattedString) and _has_hole(first):
            yield UNESCAPED.at(module, call, "Markup() gets an f-string")
    for node in module.nodes(cst.TemplatedString):
        renderer = _renderer(module, node)
        if renderer is not None or _begins_with_a_tag(node):
            yield from _template(module, project, node, renderer)


def _is_string(node: cst.CSTNode | None) -> bool:
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
        return node.func.attr.value == "format" and _is_string(node.func.value)
    if isinstance(node, cst.BinaryOperation):
        return isinstance(node.operator, cst.Modulo | cst.Add) and _is_string(node.left)
    return isinstance(node, cst.SimpleString | cst.FormattedString | cst.ConcatenatedString) and (
        not isinstance(node, cst.ConcatenatedString) or _is_string(node.left)
    )


def _has_hole(node: cst.FormattedString) -> bool:
    return any(isinstance(part, cst.FormattedStringExpression) for part in node.parts)


def _renderer(module: Module, node: cst.TemplatedString) -> cst.Call | None:
    parents = module.ancestors(node)
    given, call = next(parents, None), next(parents, None)
    if not isinstance(given, cst.Arg) or not isinstance(call, cst.Call):
        return None
    return call if module.qualified(call.func) in RENDERERS else None


def _begins_with_a_tag(node: cst.TemplatedString) -> bool:
    first = node.parts[0] if node.parts else None
    return isinstance(first, cst.TemplatedStringText) and first.value.lstrip().startswith("<")


def _template(
    module: Module, project: Project, node: cst.TemplatedString, call: cst.Call | None
) -> Iterator[Issue]:
    template: Template = read_template(node)
    for fault in template.faults[:1]:
        yield TREE.at(module, node, fault)
    for hole in (*template.scripts, *template.handlers):
        yield CODE_CONTEXT.at(module, hole, "a value becomes part of a script")
    for use in template.uses:
        found = project.find(module.qualified(use.hole))
        if found is not None:
            yield from _use(module, node, use, found)
            if call is not None and _lacks_context(module, call, found):
                yield NO_CONTAINER.at(
                    module, call, f"{found.node.name.value} has Inject fields, but no context"
                )


def _use(module: Module, node: cst.CSTNode, use: Use, found: Definition) -> Iterator[Issue]:
    component = found.node
    name = component.name.value
    if isinstance(component, Function):
        if component.decorators:
            return
        if not gives_a_value(component):
            yield NO_NODE.at(module, node, f"{name} returns nothing")
        by_position = [
            parameter.name.value
            for parameter in component.params.posonly_params
            if parameter.default is None
        ]
        if by_position:
            message = f"{name} takes {by_position[0]} by position only"
            yield ARGUMENTS.at(module, node, message)
        given = {*(use.attributes or ()), "children"}
        named = [*component.params.params, *component.params.kwonly_params]
        missing = [
            parameter.name.value
            for parameter in named
            if parameter.default is None
            and parameter.name.value.lower() not in given
            and not _is_injected(found.module, parameter.annotation)
            and parameter.name.value not in ("context", "config")
        ]
        if missing and use.attributes is not None:
            yield ARGUMENTS.at(module, node, f"{name} needs {missing[0]}, which its tag lacks")
        return
    own = methods(component)
    if component.bases or component.keywords or not _only_known(component):
        return
    call = own.get("__call__")
    if call is None:
        if not {"__html__", "__new__", "__getattr__"} & own.keys():
            yield NO_NODE.at(module, node, f"{name} has no __call__")
    elif not call.decorators and not gives_a_value(call):
        yield NO_NODE.at(module, node, f"{name}.__call__ returns nothing")
    fields = [item for item in statements(component) if isinstance(item, cst.AnnAssign)]
    plain = not component.decorators and not {"__init__", "__new__"} & own.keys()
    if plain and fields and use.attributes:
        yield NOT_A_DATACLASS.at(module, node, f"{name} is not a dataclass")


def _only_known(component: cst.ClassDef) -> bool:
    """Tell whether all decorators are ones that leave the methods as they are."""
    for decorator in component.decorators:
        value = decorator.decorator
        value = value.func if isinstance(value, cst.Call) else value
        last = value.attr.value if isinstance(value, cst.Attribute) else getattr(value, "value", "")
        if last not in _DATACLASSES:
            return False
    return True


def gives_a_value(function: Function) -> bool:
    """Tell whether a function may return something, or is only the outline of one."""
    if is_stub(function):
        return True
    finder = _Returns()
    function.body.visit(finder)
    return finder.found


class _Returns(cst.CSTVisitor):
    def __init__(self) -> None:
        self.found = False

    def visit_Return(self, node: cst.Return) -> None:  # noqa: N802
        self.found = self.found or node.value is not None

    def visit_Yield(self, node: cst.Yield) -> None:  # noqa: N802
        self.found = True

    def visit_FunctionDef(self, node: Function) -> bool:  # noqa: N802
        return False

    def visit_ClassDef(self, node: cst.ClassDef) -> bool:  # noqa: N802
        return False


def _is_injected(module: Module, annotation: cst.Annotation | None) -> bool:
    value = annotation.annotation if annotation else None
    return isinstance(value, cst.Subscript) and module.qualified(value.value) in INJECT


def has_injected_fields(found: Definition) -> bool:
    """Tell whether a component's fields or parameters are to be injected."""
    if isinstance(found.node, Function):
        named = [*positional(found.node), *found.node.params.kwonly_params]
        return any(_is_injected(found.module, parameter.annotation) for parameter in named)
    return any(
        isinstance(item, cst.AnnAssign) and _is_injected(found.module, item.annotation)
        for item in statements(found.node)
    )


def _lacks_context(module: Module, call: cst.Call, found: Definition) -> bool:
    if not module.qualified(call.func).startswith("tdom_svcs.") or not has_injected_fields(found):
        return False
    keywords = {given.keyword.value for given in call.args if given.keyword}
    alone = len(call.args) - len(keywords) == 1 and not any(given.star for given in call.args)
    return alone and not keywords & {"context", "container"}


COMPONENTS = Validator(
    "components",
    "Components and templates (tdom, tdom-svcs)",
    (
        NOT_A_TEMPLATE,
        TREE,
        NO_NODE,
        ARGUMENTS,
        NOT_A_DATACLASS,
        UNESCAPED,
        CODE_CONTEXT,
        NO_CONTAINER,
    ),
    check,
)
