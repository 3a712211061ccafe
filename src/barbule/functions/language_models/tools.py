"""Tools: functions that a model may ask to be called.

Owns how a function is described to a model: a JSON schema of its signature and docstring. What a
model asks for is carried out by `invoking`.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import ibis.expr.datatypes as dt

from barbule import types
from barbule.errors import ExpressionError
from barbule.functions.function import Function
from barbule.functions.parameters.docstrings import parse_docstring
from barbule.functions.udf import udf
from barbule.suggestions import check_arguments

if TYPE_CHECKING:
    import pydantic

__all__ = ["Tool", "Tools", "arguments_model", "tool", "tools"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VARIADIC = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


@dataclass(frozen=True)
class Tool:
    """A function as a model sees it. Made by `tool`.

    Attributes
    ----------
    name
        By which the model asks for it.
    """

    function: Function
    name: str
    description: str

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """What models are told, in OpenAI's form."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": _without_titles(arguments_model(self.function).model_json_schema()),
            },
        }


class Tools(Sequence[dict[str, Any]]):
    """Functions that a model may ask for: a list of their schemas. Made by `tools`."""

    def __init__(self, members: Sequence[Tool]) -> None:
        self.members = tuple(members)

    def __repr__(self) -> str:
        return f"<tools {', '.join(each.name for each in self.members)}>"

    def __len__(self) -> int:
        return len(self.members)

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[dict[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> Any:
        """Return the schema of one tool."""
        if isinstance(place, slice):
            return [each.schema for each in self.members[place]]
        return self.members[place].schema

    def choice(
        self,
        *,
        auto: bool = False,
        required: bool = False,
        tool: str | Function | None = None,
    ) -> Any:
        """Say for `tool_choice=` whether the model has to ask for a tool, and which.

        Parameters
        ----------
        auto
            It may.
        required
            It has to ask for one of them.
        tool
            It has to ask for this one: its name, or the function.

        Examples
        --------
        >>> import barbule as bb
        >>> @bb.udf
        ... def weather(place: str) -> str:
        ...     return "sunny"
        >>> bb.tools(weather).choice(tool=weather)
        {'type': 'function', 'function': {'name': 'weather'}}
        """
        if (tool is not None) + required + auto != 1:
            raise ExpressionError(
                "one choice is made.", hint="Give one of auto=True, required=True and tool=."
            )
        if tool is None:
            return "auto" if auto else "required"
        for each in self.members:
            if tool in (each.name, each.function):
                return {"type": "function", "function": {"name": each.name}}
        raise ExpressionError(
            "it is none of these tools.",
            value=tool,
            hint=f"There are {', '.join(each.name for each in self.members)}.",
        )


@check_arguments
def tool(
    function: Function | Tool | Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
) -> Tool:
    """Describe a function to models otherwise than it does itself.

    Parameters
    ----------
    function
        What `@bb.udf` or `@bb.query` made, or a function to be made a udf.
    name
        Letters, digits, `_` and `-`; by default the name of the function.
    description
        What it does; by default what the docstring says before its sections.

    Examples
    --------
    >>> import barbule as bb
    >>> @bb.udf
    ... def weather(place: str) -> str:
    ...     return "sunny"
    >>> bb.tool(weather, description="Tell the weather of a town.").description
    'Tell the weather of a town.'
    """
    if isinstance(function, Tool):
        return function
    made: Any = function if isinstance(function, Function) else udf(function)
    if not isinstance(made, Function) or made.kind == "model":
        raise ExpressionError(
            "a tool is a function of your own.",
            value=function,
            hint="Give what @bb.udf or @bb.query made; of a class, what calling it gives.",
        )
    shown = name or made.name.rpartition(".")[2]
    if not _NAME.fullmatch(shown):
        raise ExpressionError(
            "this is no name for a tool.",
            value=shown,
            hint="Give one of letters, digits, _ and -: bb.tool(function, name=...).",
        )
    text, _ = parse_docstring(made.__doc__)
    arguments_model(made)  # what is wrong with its parameters is said here
    return Tool(made, shown, text if description is None else description)


def tools(*functions: Any) -> Tools:
    """Make functions known to a model, so that it may ask for them to be called.

    Parameters
    ----------
    functions
        What `@bb.udf` or `@bb.query` made, plain functions, or what `bb.tool` made. What models
        are told of them comes from their signatures and docstrings.

    Returns
    -------
    Tools
        For `tools=` of chat functions; `invoke_tools` calls what the model asks for.

    Raises
    ------
    ExpressionError
        When two have the same name, or a parameter is none that a model can give.

    Examples
    --------
    >>> import barbule as bb
    >>> @bb.udf
    ... def weather(place: str, days: int = 1) -> str:
    ...     '''Tell the weather.
    ...
    ...     Args:
    ...         place: A town.
    ...     '''
    ...     return f"{days} sunny days in {place}"
    >>> bb.tools(weather)[0]["function"]["parameters"]["properties"]["place"]
    {'description': 'A town.', 'type': 'string'}
    """
    members = [tool(each) for each in functions]
    names = [each.name for each in members]
    if not members:
        raise ExpressionError("no tool is given.", hint="bb.tools(function, ...).")
    for name in names:
        if names.count(name) > 1:
            raise ExpressionError(
                "two tools have the same name.", value=name, hint="bb.tool(function, name=...)."
            )
    return Tools(members)


_PLAIN: dict[type[dt.DataType], Any] = {
    dt.String: str,
    dt.Integer: int,
    dt.Floating: float,
    dt.Boolean: bool,
    dt.JSON: Any,
}


def arguments_model(function: Function) -> type[pydantic.BaseModel]:
    """Make the pydantic model of the arguments of a function that a model gives."""
    import pydantic

    hints = {each.name: each.hint for each in function.parameters}
    _, told = parse_docstring(function.__doc__)
    fields: dict[str, Any] = {}
    for name, parameter in function.signature.parameters.items():
        if name in function.fixed_arguments:
            continue
        if parameter.kind in _VARIADIC:
            raise _no_parameter(function, name, "takes any number of arguments")
        default = ... if parameter.default is parameter.empty else parameter.default
        hint = _python(function, name, hints.get(name) or Any)
        fields[name] = (hint, pydantic.Field(default, description=told.get(name)))
    config = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    try:
        made = pydantic.create_model("Arguments", __config__=config, **fields)
        made.model_json_schema()
    except pydantic.PydanticUserError as error:
        raise ExpressionError(
            f"{function.name}: {error.message.splitlines()[0]}",
            hint="A tool takes texts, numbers, and lists and records of these.",
        ) from error
    return made


def _python(function: Function, name: str, hint: Any) -> Any:
    """Return the Python type of a parameter that is annotated with one of ours."""
    known = next((each.dtype for each in function.parameters if each.name == name), None)
    if isinstance(known, types.Media):
        kind: dt.DataType = known
    elif isinstance(hint, dt.DataType | str) or (
        inspect.isclass(hint) and issubclass(hint, dt.DataType)
    ):
        kind = types.dtype(hint)
    else:
        return hint
    if isinstance(kind, types.Media):
        raise _no_parameter(function, name, f"takes {kind}, which no model gives")
    if isinstance(kind, dt.Array):
        inner = _python(function, name, kind.value_type)
        return list[inner]  # type: ignore[valid-type]
    return next((plain for each, plain in _PLAIN.items() if isinstance(kind, each)), hint)


def _no_parameter(function: Function, name: str, why: str) -> ExpressionError:
    return ExpressionError(
        f"{function.name} cannot be a tool: its parameter {name!r} {why}.",
        hint="Fix it by function.using(...), or take texts, numbers, lists and records of these.",
    )


def _without_titles(schema: Any) -> Any:
    """Drop the titles that pydantic makes of names: tokens without meaning."""
    if isinstance(schema, list):
        return [_without_titles(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _without_titles(each) for name, each in value.items()}
        if key in {"properties", "$defs"}
        else _without_titles(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }
