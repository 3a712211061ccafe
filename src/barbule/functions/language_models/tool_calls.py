"""What a model asks for: calls of tools, checked and carried out.

Owns how the calls are found in an answer, how their arguments are checked against the signatures,
and `invoke_tools`. Nothing is called that was not given as a tool by name.
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

__all__ = ["invoke_tools"]


def invoke_tools(tools: Tools, response: ir.Value) -> ir.Value:
    """Call what a model asked for, with its arguments checked against the signatures.

    Parameters
    ----------
    tools
        What the model was given.
    response
        The answer of `chat_completions` or `messages`, or Json in the form of one.

    Returns
    -------
    Json
        For each tool, by its name, the list of its results; None for one that was not asked for.
        Where the model asks for what is no tool, its arguments do not fit, or a tool fails, the
        cell is empty, and its `.error` says why.

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
            "the first argument is the tools that the model was given.",
            value=tools,
            hint="invoke_tools(bb.tools(f, g), response).",
        )
    named = [
        {
            "name": each.name,
            "function": each.function.name,
            "version": each.function.full_version,
            "fixed": dict(each.function.fixed_arguments),
        }
        for each in tools.members
    ]
    return _INVOKE(response, named)


async def _invoke(response: Any, tools: Any) -> dict[str, Any]:
    known = {each["name"]: each for each in tools}
    results: dict[str, Any] = dict.fromkeys(known)
    # All are checked before one is called.
    asked = []
    for name, arguments in _asked(response):
        if name not in known:
            raise FunctionError(
                f"the model asked for the tool {name!r}, which it was not given.",
                hint=f"It was given {', '.join(known)}.",
            )
        chosen = known[name]
        function = lookup(chosen["function"], chosen["version"]).using(**chosen["fixed"])
        asked.append((name, function, _checked(name, function, arguments)))
    for name, function, arguments in asked:
        try:
            result = await _call(function, {**function.fixed_arguments, **arguments})
        except Exception as error:
            raise FunctionError(
                f"the tool {name!r} failed: {type(error).__name__}: {message_of(error)}.",
                value=arguments,
                hint="Mend the tool, or let it return what is wrong, for the model to read.",
            ) from error
        results[name] = [*(results[name] or []), _plain(name, result)]
    return results


def _asked(response: Any) -> Iterator[tuple[str, Any]]:
    """Find the calls that a model asks for, in the forms of OpenAI, Anthropic and Gemini."""
    if isinstance(response, list):
        for each in response:
            yield from _asked(each)
    elif isinstance(response, Mapping):
        if isinstance(call := response.get("function"), Mapping):
            yield str(call.get("name")), call.get("arguments")
        elif response.get("type") == "tool_use":
            yield str(response.get("name")), response.get("input")
        elif isinstance(call := response.get("functionCall"), Mapping):
            yield str(call.get("name")), call.get("args")
        else:
            inside = ("choices", "message", "tool_calls", "content", "candidates", "parts")
            for key in inside:
                yield from _asked(response.get(key))


def _checked(name: str, function: Function, arguments: Any) -> dict[str, Any]:
    """Check what a model gives against the signature, and make the objects of its annotations."""
    import pydantic

    try:
        given = json.loads(arguments or "{}") if isinstance(arguments, str) else arguments
        model = arguments_model(function).model_validate(given or {})
    except json.JSONDecodeError as error:
        raise FunctionError(
            f"the arguments for the tool {name!r} are no JSON: {error}.",
            value=arguments,
            hint="Ask again, or a better model.",
        ) from error
    except pydantic.ValidationError as error:
        told = [f"{'.'.join(map(str, e['loc'])) or 'they'}: {e['msg']}" for e in error.errors()]
        raise FunctionError(
            f"the arguments for the tool {name!r} do not fit it: {'; '.join(told[:5])}.",
            value=given,
            hint="Say more in the docstring of the tool, or ask a better model.",
        ) from error
    return {field: getattr(model, field) for field in type(model).model_fields}


async def _call(function: Function, arguments: dict[str, Any]) -> Any:
    batched = {
        each.name for each in function.parameters if each.batched and not each.takes_constants
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


def _rows(query: Any) -> Any:
    found = query.to_pyarrow()
    return found.to_pylist() if hasattr(found, "to_pylist") else found.as_py()


def _plain(name: str, result: Any) -> Any:
    """Return a result as JSON has it."""
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(result, inf_nan_mode="null")
    except PydanticSerializationError as error:
        raise FunctionError(
            f"what the tool {name!r} returned is nothing that JSON can say: {error}.",
            hint="A tool returns texts, numbers, and lists and records of these.",
        ) from error


def _version(arguments: Mapping[str, Any]) -> str:
    """Return what changes when one of the tools does."""
    return _digest([[name, function.version] for name, function in _tools_of(arguments)])


def _former_version(arguments: Mapping[str, Any]) -> str:
    return _digest([[name, function.former_version] for name, function in _tools_of(arguments)])


def _tools_of(arguments: Mapping[str, Any]) -> list[tuple[str, Function]]:
    return [
        (each["name"], lookup(each["function"], each["version"])) for each in arguments["tools"]
    ]


def _digest(versions: list[list[str]]) -> str:
    return hashlib.sha256(json.dumps(versions).encode()).hexdigest()[:16]


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
