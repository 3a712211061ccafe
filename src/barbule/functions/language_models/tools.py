"""Tools: functions whose calls a model may request.

Owns how a function is described to a model: a JSON schema of its signature and docstring.
`tool_calls` executes the calls.
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
from barbule.types.declarations import by_class

if TYPE_CHECKING:
    import pydantic

__all__ = ["Tool", "Tools", "arguments_model", "tool", "tools"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VARIADIC = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


@dataclass(frozen=True)
class Tool:
    """A function in the form that a model sees. Created by `tool`.

    Attributes
    ----------
    name
        The name by which the model requests it.
    """

    function: Function
    name: str
    description: str

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """The description for models, in OpenAI's format."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": _without_titles(arguments_model(self.function).model_json_schema()),
            },
        }


class Tools(Sequence[dict[str, Any]]):
    """Functions whose calls a model may request: a list of their schemas. Created by `tools`."""

    def __init__(self, members: Sequence[Tool]) -> None:
        self.members = tuple(members)

    def __repr__(self) -> str:
        return f"<tools {', '.join(tool.name for tool in self.members)}>"

    def __len__(self) -> int:
        return len(self.members)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | Sequence[dict[str, Any]]:
        """Return the schema of one tool."""
        if isinstance(index, slice):
            return [tool.schema for tool in self.members[index]]
        return self.members[index].schema

    def choice(
        self,
        *,
        auto: bool = False,
        required: bool = False,
        tool: str | Function | None = None,
    ) -> str | dict[str, Any]:
        """Return a `tool_choice=`: whether the model must request a tool, and which.

        Parameters
        ----------
        auto
            The model may request a tool.
        required
            The model must request one of the tools.
        tool
            The model must request this tool: its name, or the function.

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
                "only one choice is possible.",
                hint="Pass one of auto=True, required=True and tool=.",
            )
        if tool is None:
            return "auto" if auto else "required"
        for member in self.members:
            if tool in (member.name, member.function):
                return {"type": "function", "function": {"name": member.name}}
        raise ExpressionError(
            "it is not one of these tools.",
            value=tool,
            hint=f"The tools are {', '.join(tool.name for tool in self.members)}.",
        )


@check_arguments
def tool(
    function: Function | Tool | Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
) -> Tool:
    """Change the description of a function for models.

    Parameters
    ----------
    function
        A function made with `@bb.udf` or `@bb.query`, or a plain function.
    name
        Letters, digits, `_` and `-`; by default the name of the function.
    description
        Its description; by default the docstring up to its sections.

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
    declared = function if isinstance(function, Function) else udf(function)
    if not isinstance(declared, Function) or declared.kind == "model":
        raise ExpressionError(
            "a tool must be one of your own functions.",
            value=function,
            hint="Pass a function made with @bb.udf or @bb.query; for a class, pass the function "
            "that calling it returns.",
        )
    tool_name = name or declared.name.rpartition(".")[2]
    if not _NAME.fullmatch(tool_name):
        raise ExpressionError(
            "this is not a valid name for a tool.",
            value=tool_name,
            hint="Use letters, digits, _ and -: bb.tool(function, name=...).",
        )
    text, _ = parse_docstring(declared.__doc__)
    arguments_model(declared)  # refuses parameters that models cannot pass
    return Tool(declared, tool_name, text if description is None else description)


def tools(*functions: Function | Tool | Callable[..., Any]) -> Tools:
    """Describe functions to a model, so that it may request calls of them.

    Parameters
    ----------
    functions
        Functions made with `@bb.udf` or `@bb.query`, plain functions, or results of `bb.tool`.
        Their descriptions for models come from their signatures and docstrings.

    Returns
    -------
    Tools
        For `tools=` of chat functions; `invoke_tools` executes the calls.

    Raises
    ------
    ExpressionError
        If two have the same name, or models cannot pass a parameter.

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
    members = [tool(function) for function in functions]
    names = [member.name for member in members]
    if not members:
        raise ExpressionError("no tool was passed.", hint="bb.tools(function, ...).")
    for name in names:
        if names.count(name) > 1:
            raise ExpressionError(
                "two tools have the same name.", value=name, hint="bb.tool(function, name=...)."
            )
    return Tools(members)


_PYTHON_TYPES: dict[type[dt.DataType], Any] = {
    dt.String: str,
    dt.Integer: int,
    dt.Floating: float,
    dt.Boolean: bool,
    dt.JSON: Any,
}


def arguments_model(function: Function) -> type[pydantic.BaseModel]:
    """Return the pydantic model of the arguments that a model passes to a function."""
    import pydantic

    hints = {parameter.name: parameter.hint for parameter in function.parameters}
    _, descriptions = parse_docstring(function.__doc__)
    fields: dict[str, Any] = {}
    for name, parameter in function.signature.parameters.items():
        if name in function.fixed_arguments:
            continue
        if parameter.kind in _VARIADIC:
            raise _parameter_error(function, name, "takes any number of arguments")
        default = ... if parameter.default is parameter.empty else parameter.default
        hint = _python_type(function, name, hints.get(name) or Any)
        fields[name] = (hint, pydantic.Field(default, description=descriptions.get(name)))
    config = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    try:
        model = pydantic.create_model("Arguments", __config__=config, **fields)
        model.model_json_schema()
    except pydantic.PydanticUserError as error:
        raise ExpressionError(
            f"{function.name}: {error.message.splitlines()[0]}",
            hint="A tool takes strings, numbers, and lists and dicts of these.",
        ) from error
    return model


def _python_type(function: Function, name: str, hint: Any) -> Any:
    """Return the Python type of a parameter that is annotated with a barbule type."""
    parameters = function.parameters
    declared = next((parameter.dtype for parameter in parameters if parameter.name == name), None)
    if isinstance(declared, types.Media):
        dtype: dt.DataType = declared
    elif isinstance(hint, dt.DataType | str) or (
        inspect.isclass(hint) and issubclass(hint, dt.DataType)
    ):
        dtype = types.dtype(hint)
    else:
        return hint
    if types.declaration(dtype).is_media:
        raise _parameter_error(function, name, f"takes {dtype}, which no model returns")
    if isinstance(dtype, dt.Array):
        item: Any = _python_type(function, name, dtype.value_type)
        return list[item]
    return by_class(_PYTHON_TYPES, dtype) or hint


def _parameter_error(function: Function, name: str, reason: str) -> ExpressionError:
    return ExpressionError(
        f"{function.name} cannot be a tool: its parameter {name!r} {reason}.",
        hint="Bind the parameter with function.using(...), or use strings, numbers, lists and "
        "dicts of these.",
    )


def _without_titles(schema: Any) -> Any:
    """Remove the titles that pydantic derives from names: tokens without meaning."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _without_titles(item) for name, item in value.items()}
        if key in {"properties", "$defs"}
        else _without_titles(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }
