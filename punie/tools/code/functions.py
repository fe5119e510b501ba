"""The tools as Python functions: their signatures, made of the schemas of their arguments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from punie.tools.base import AnyTool
from punie.tools.code.annotations import IMPORTS, Annotations, identifier
from punie.tools.parameters import parameters_schema

_LONGEST_DEFAULT = 40


@dataclass(frozen=True)
class Parameter:
    """One parameter: the `key` of an argument of the tool, under a name that code can use.

    `default` is Python source; None for a parameter that must be given. One that may be left out
    takes None too, which is not written out for the model.
    """

    name: str
    key: str
    annotation: str
    default: str | None
    description: str

    @property
    def source(self) -> str:
        """The parameter as it stands in a signature."""
        written = f"{self.name}: {self.annotation}"
        return written if self.default is None else f"{written} = {self.default}"

    @property
    def checked(self) -> str:
        """The parameter as a type checker has to read it."""
        if self.default is None or self.annotation == "Any" or self.annotation.endswith("None"):
            return self.source
        return f"{self.name}: {self.annotation} | None = ..."


@dataclass(frozen=True)
class Function:
    """A tool under a name that code can use; `returns` is the type of what code gets."""

    name: str
    tool: AnyTool
    parameters: tuple[Parameter, ...]
    returns: str

    @property
    def signature(self) -> str:
        """Name, parameters and result as after `def`."""
        parameters = ", ".join(parameter.source for parameter in self.parameters)
        return f"{self.name}({parameters}) -> {self.returns}"

    @property
    def stub(self) -> str:
        """One line of valid Python that says all that code needs to know of the function."""
        described = self.tool.returns or self.tool
        said = [described.description, *(p.description for p in self.parameters)]
        return f"def {self.signature}: {_docstring(' '.join(filter(None, said)))}"

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tool's arguments for a call; raise `TypeError` as Python would.

        None for what may be left out is taken as left out.
        """
        if len(args) > len(self.parameters):
            raise TypeError(
                f"{self.name}() takes at most {len(self.parameters)} arguments; "
                f"it is {self.signature}"
            )
        given = {p.name: value for p, value in zip(self.parameters, args, strict=False)}
        for name, value in kwargs.items():
            if name in given:
                raise TypeError(f"{self.name}() got {name!r} twice")
            given[name] = value
        by_name = {parameter.name: parameter for parameter in self.parameters}
        unknown = [name for name in given if name not in by_name]
        if unknown:
            raise TypeError(
                f"{self.name}() has no parameter {unknown[0]!r}; it is {self.signature}"
            )
        missing = [p.name for p in self.parameters if p.default is None and p.name not in given]
        if missing:
            raise TypeError(f"{self.name}() needs {', '.join(missing)}; it is {self.signature}")
        return {
            by_name[name].key: value
            for name, value in given.items()
            if value is not None or by_name[name].default is None
        }


@dataclass(frozen=True)
class Library:
    """All functions, and the TypedDicts of their types, as source."""

    functions: tuple[Function, ...]
    classes: tuple[str, ...]

    @property
    def stubs(self) -> str:
        """What the model reads of the functions, one line each."""
        return "\n".join([*self.classes, *(function.stub for function in self.functions)])

    @property
    def checked(self) -> str:
        """What a type checker needs to know of the functions, as a stub file."""
        signatures = [
            f"def {f.name}({', '.join(p.checked for p in f.parameters)}) -> {f.returns}: ..."
            for f in self.functions
        ]
        return "\n".join([IMPORTS, *self.classes, *signatures]) + "\n"


def library(tools: Sequence[AnyTool]) -> Library:
    """Return the tools as functions, the same for the same tools, in their order."""
    names: dict[str, AnyTool] = {}
    for tool in tools:
        names[identifier(tool.name, names, "tool")] = tool
    annotations = Annotations(taken=frozenset(names))
    functions = tuple(_function(name, tool, annotations) for name, tool in names.items())
    return Library(functions, tuple(annotations.classes.values()))


def _function(name: str, tool: AnyTool, annotations: Annotations) -> Function:
    schema = parameters_schema(tool)
    properties: Mapping[str, Any] = schema.get("properties", {})
    required = schema.get("required", ())
    parameters: list[Parameter] = []
    # Parameters that must be given come first, or it would be no Python.
    for key in sorted(properties, key=lambda key: key not in required):
        property = properties[key] if isinstance(properties[key], Mapping) else {}
        default = None if key in required else _default(property)
        annotation = annotations.of(property, key)
        if default == "None":
            annotation = annotation.removesuffix(" | None")
        own = identifier(key, {parameter.name for parameter in parameters}, "argument")
        text = property.get("description")
        described = text.strip(" .") if isinstance(text, str) else ""
        if described:
            described = f"{own}: {described}."
        parameters.append(Parameter(own, key, annotation, default, described))
    returns = "str"
    if tool.returns is not None:
        returns = annotations.of(_type_schema(tool.returns.type), name)
    return Function(name, tool, tuple(parameters), returns)


@cache
def _type_schema(type: Any) -> dict[str, Any]:
    return TypeAdapter(type).json_schema(mode="serialization")


def _default(property: Mapping[str, Any]) -> str:
    """Return the default as source; `...` where it is too much to say."""
    value = property.get("default")
    if value is None or isinstance(value, str | bool | int):
        written = repr(value)
        if len(written) <= _LONGEST_DEFAULT:
            return written
    return "..."


def _docstring(text: str) -> str:
    """Return the text as a string in one line that nothing in the text can end."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    escaped = plain.replace("\\", "\\\\").replace('"', "'")
    return f'"{escaped}"'
