"""Calls of functions, written as users write them.

Owns which arguments are written: defaults are omitted, and required arguments are positional.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import ibis.expr.types as ir

from barbule.errors import UnknownFunctionError
from barbule.functions.registry import Function, lookup
from barbule.nodes import FunctionCall, fill_template
from barbule.planner.python_code.fragments import ATOM, Code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["call", "call_code"]

_CONSTRUCTORS = {
    "barbule.functions.audio.split": "AudioSplitter.create",
    "barbule.functions.document.split": "DocumentSplitter.create",
    "barbule.functions.string.split_text": "StringSplitter.create",
    "barbule.functions.video.frames": "FrameIterator.create",
    "barbule.functions.video.split": "VideoSplitter.create",
}
_NAMESPACE = "barbule.functions."
_MEDIA_TYPES = {
    "audio": "Audio",
    "document": "Document",
    "image": "Image",
    "media": "Media",
    "video": "Video",
}


def call(node: FunctionCall, fragments: Mapping[str, Any]) -> Code:
    """Write a call inside an expression."""
    return Code(call_code(node.function, node.version, node.template, fragments["values"]))


def call_code(function: str, version: str, template: str, values: Sequence[str]) -> str:
    """Write a call of a function as users write it; arguments with the default value are omitted.

    Examples
    --------
    >>> call_code("films.shout", "1", '{"text":{"$":0}}', ["films.name"])
    'shout(films.name)'
    """
    definition = _definition(function, version)
    arguments = {
        name: _argument_code(argument, values) for name, argument in json.loads(template).items()
    }
    arguments = _without_defaults(definition, arguments)
    if method := _method_of(function, template):
        owner = arguments.pop(next(iter(arguments)))
        return f"{_bracketed(owner)}.{method}({_arguments_code(definition, arguments, 1)})"
    if function in _CONSTRUCTORS:
        options = (
            f"{name}={code}" for name, code in arguments.items() if code not in {"None", "[]"}
        )
        return f"{_CONSTRUCTORS[function]}({', '.join(options)})"
    return f"{_short_name(function)}({_arguments_code(definition, arguments)})"


def _definition(function: str, version: str) -> Function | None:
    try:
        return lookup(function, version)
    except UnknownFunctionError:
        return None


def _short_name(function: str) -> str:
    """Return the name of a function for users: barbule's with their namespace, others without."""
    if function.startswith(_NAMESPACE):
        return function.removeprefix(_NAMESPACE)
    return function.partition("(")[0].rpartition(".")[2]


def _method_of(function: str, template: str) -> str | None:
    """Return the method of media columns that makes a call, if there is one."""
    namespace, _, name = function.removeprefix(_NAMESPACE).rpartition(".")
    first_argument = next(iter(json.loads(template).values()), None)
    if not function.startswith(_NAMESPACE) or first_argument != {"$": 0}:
        return None
    column = getattr(ir, f"Barbule{_MEDIA_TYPES.get(namespace)}Column", None)
    classes = getattr(column, "__mro__", ())
    own_classes = (cls for cls in classes if cls.__module__.startswith("barbule"))
    return name if any(name in vars(cls) for cls in own_classes) else None


def _without_defaults(function: Function | None, arguments: dict[str, str]) -> dict[str, str]:
    """Remove arguments that equal the default of their parameter."""
    if function is None:
        return arguments
    parameters = function.signature.parameters
    written: dict[str, str] = {}
    for name, code in arguments.items():
        parameter = parameters.get(name)
        if (
            parameter is None
            or parameter.default is parameter.empty
            or code != _default_code(parameter.default)
        ):
            written[name] = code
    return written


def _default_code(value: object) -> str:
    return repr(list(value)) if isinstance(value, tuple | list) else repr(value)


def _arguments_code(
    function: Function | None, arguments: Mapping[str, str], skipped: int = 0
) -> str:
    """Write arguments: required ones by position, all others by name.

    Parameters
    ----------
    skipped
        The number of arguments that are written elsewhere.
    """
    required: set[str] = set()
    if function is not None and function.kind != "model":
        required = {
            name
            for name, parameter in function.signature.parameters.items()
            if parameter.default is parameter.empty
        }
    elif function is None and len(arguments) + skipped == 1:
        required = set(arguments)
    codes = []
    for name, code in arguments.items():
        if name.startswith("*"):
            codes += [code.removeprefix("[").removesuffix("]")] if code != "[]" else []
        else:
            codes.append(code if name in required else f"{name}={code}")
    return ", ".join(codes)


def _argument_code(argument: object, values: Sequence[str]) -> str:
    if isinstance(argument, dict):
        if set(argument) == {"$"}:
            return values[argument["$"]]
        if argument.get("type") == "media" and "of" in argument:  # content for models
            return _argument_code(argument["of"], values)
        if len(argument) == 1 and next(iter(argument)).startswith("$"):
            return repr(fill_template(argument, values))
        pairs = (f"{key!r}: {_argument_code(value, values)}" for key, value in argument.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(argument, list):
        return f"[{', '.join(_argument_code(member, values) for member in argument)}]"
    return repr(argument)


def _bracketed(code: str) -> str:
    return code.bracketed(ATOM) if isinstance(code, Code) else code
