"""Tool calls that a model requests: found in its answer, validated and executed.

Owns `invoke_tools`, and the validation of arguments against the signatures. Only functions that
were passed to the model as tools are called.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import ibis.expr.types as ir

from barbule import types
from barbule.errors import ExpressionError, FunctionError, message_of
from barbule.functions.function import Function
from barbule.functions.language_models.tools import Tools, arguments_model
from barbule.functions.parameters.parameter import Parameter
from barbule.functions.registry import lookup, register
from barbule.json_codec import pydantic_values, to_ascii

__all__ = ["invoke_tools"]


def invoke_tools(tools: Tools, response: ir.Value) -> ir.Value:
    """Execute the tool calls that a model requests, with validated arguments.

    Parameters
    ----------
    tools
        The tools that were passed to the model.
    response
        The answer of `chat_completions` or `messages`, or Json in their format.

    Returns
    -------
    Json
        For each tool, by its name, the list of its results; None for one that was not requested. If
        the model requests an unknown tool, its arguments do not match, or a tool fails, the cell is
        empty, and its `.error` shows the reason.

    Examples
    --------
    >>> import barbule as bb
    >>> @bb.udf
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> asked = {"name": "add", "arguments": {"a": 1, "b": "2"}}
    >>> answers = bb.create_table("answers", {"said": bb.Json})
    >>> _ = answers.insert(said={"choices": [{"message": {"tool_calls": [{"function": asked}]}}]})
    >>> answers.select(x=bb.invoke_tools(bb.tools(add), answers.said)).collect()[0]
    {'x': {'add': [3]}}
    """
    if not isinstance(tools, Tools):
        raise ExpressionError(
            "the first argument must be the tools that were passed to the model.",
            value=tools,
            hint="invoke_tools(bb.tools(f, g), response).",
        )
    stored_tools = [
        {
            "name": tool.name,
            "function": tool.function.name,
            "version": tool.function.full_version,
            "fixed": dict(tool.function.fixed_arguments),
        }
        for tool in tools.members
    ]
    return _INVOKE(response, stored_tools)


async def _invoke(response: Any, tools: Any) -> dict[str, Any]:
    tools_by_name = {tool["name"]: tool for tool in tools}
    results: dict[str, Any] = dict.fromkeys(tools_by_name)
    # All are validated before one is called.
    calls = []
    for name, arguments in _requested_calls(response):
        if name not in tools_by_name:
            raise FunctionError(
                f"the model called the tool {name!r}, which was not passed to it.",
                hint=f"Its tools are {', '.join(tools_by_name)}.",
            )
        tool = tools_by_name[name]
        function = lookup(tool["function"], tool["version"]).using(**tool["fixed"])
        calls.append((name, function, _check_arguments(name, function, arguments)))
    for name, function, arguments in calls:
        try:
            result = await _call(function, {**function.fixed_arguments, **arguments})
        except Exception as error:
            raise FunctionError(
                f"the tool {name!r} failed: {type(error).__name__}: {message_of(error)}.",
                value=arguments,
                hint="Fix the tool, or return the problem as text for the model to read.",
            ) from error
        results[name] = [*(results[name] or []), _as_json(name, result)]
    return results


def _requested_calls(response: object) -> Iterator[tuple[str, Any]]:
    """Find the calls that a model requests, in the formats of OpenAI, Anthropic and Gemini."""
    if isinstance(response, list):
        for part in response:
            yield from _requested_calls(part)
    elif isinstance(response, Mapping):
        if isinstance(call := response.get("function"), Mapping):
            yield str(call.get("name")), call.get("arguments")
        elif response.get("type") == "tool_use":
            yield str(response.get("name")), response.get("input")
        elif isinstance(call := response.get("functionCall"), Mapping):
            yield str(call.get("name")), call.get("args")
        else:
            for key in ("choices", "message", "tool_calls", "content", "candidates", "parts"):
                yield from _requested_calls(response.get(key))


def _check_arguments(name: str, function: Function, arguments: object) -> dict[str, Any]:
    """Validate a model's arguments against the signature, and convert them to its annotations."""
    import pydantic

    try:
        decoded = json.loads(arguments or "{}") if isinstance(arguments, str) else arguments
        model = arguments_model(function).model_validate(decoded or {})
    except json.JSONDecodeError as error:
        raise FunctionError(
            f"the arguments for the tool {name!r} are not valid JSON: {error}.",
            value=arguments,
            hint="Call again, or use a stronger model.",
        ) from error
    except pydantic.ValidationError as error:
        faults = [
            f"{'.'.join(map(str, detail['loc'])) or 'they'}: {detail['msg']}"
            for detail in error.errors()
        ]
        raise FunctionError(
            f"the arguments for the tool {name!r} do not match its parameters: "
            f"{'; '.join(faults[:5])}.",
            value=decoded,
            hint="Describe the parameters in the docstring of the tool, or use a stronger model.",
        ) from error
    return {field: getattr(model, field) for field in type(model).model_fields}


async def _call(function: Function, arguments: dict[str, Any]) -> object:
    batched = {
        parameter.name
        for parameter in function.parameters
        if parameter.batched and not parameter.takes_constants
    }
    if function.kind == "batch":
        arguments = {
            name: [value] if name in batched else value for name, value in arguments.items()
        }
    async with asyncio.timeout(function.timeout):
        if function.is_async:
            result = await function.body(**arguments)
        else:
            result = await asyncio.to_thread(function.body, **arguments)
        if function.kind == "query":
            result = await asyncio.to_thread(_rows, result)
    return result[0] if function.kind == "batch" else result


def _rows(query: ir.Expr) -> object:
    result = query.to_pyarrow()
    return result.to_pylist() if hasattr(result, "to_pylist") else result.as_py()


def _as_json(name: str, result: object) -> object:
    """Convert a result to JSON values."""
    from pydantic_core import PydanticSerializationError

    try:
        return pydantic_values(result, nan_is_null=True)
    except PydanticSerializationError as error:
        raise FunctionError(
            f"the result of the tool {name!r} cannot be written as JSON: {error}.",
            hint="A tool must return strings, numbers, or lists and dicts of these.",
        ) from error


def _version(arguments: Mapping[str, Any]) -> str:
    """Return a hash that changes when one of the tools changes."""
    return _digest([[name, function.version] for name, function in _tools_of(arguments)])


def _former_version(arguments: Mapping[str, Any]) -> str:
    return _digest([[name, function.former_version] for name, function in _tools_of(arguments)])


def _tools_of(arguments: Mapping[str, Any]) -> list[tuple[str, Function]]:
    return [
        (tool["name"], lookup(tool["function"], tool["version"])) for tool in arguments["tools"]
    ]


def _digest(versions: list[list[str]]) -> str:
    return hashlib.sha256(to_ascii(versions).encode()).hexdigest()[:16]


_INVOKE = register(
    Function(
        name="barbule.functions.invoking.invoke",
        body=_invoke,
        kind="row",
        returns=types.Json(),
        parameters=(Parameter("response"), Parameter("tools")),
        on_error="null",
        version_for=_version,
        former_version_for=_former_version,
    )
)
