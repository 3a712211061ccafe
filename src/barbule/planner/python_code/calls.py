"""Calls of functions as their users write them.

Owns which arguments are said: not those that are the default, and what a function must have by
its place.
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

__all__ = ["call", "call_as_written"]

_CREATED = {
    "barbule.functions.audio.split": "AudioSplitter.create",
    "barbule.functions.document.split": "DocumentSplitter.create",
    "barbule.functions.string.split_text": "StringSplitter.create",
    "barbule.functions.video.frames": "FrameIterator.create",
    "barbule.functions.video.split": "VideoSplitter.create",
}
_OWN = "barbule.functions."


def call(node: FunctionCall, given: Mapping[str, Any]) -> Code:
    """Write a call that stands in an expression."""
    return Code(call_as_written(node.function, node.version, node.template, given["values"]))


def call_as_written(function: str, version: str, template: str, values: Sequence[str]) -> str:
    """Write a call of a function as its user does: what has a default and is it, is left out.

    Examples
    --------
    >>> call_as_written("films.shout", "1", '{"text":{"$":0}}', ["films.name"])
    'shout(films.name)'
    """
    known = _known(function, version)
    arguments = _said(known, {key: _argument(each, values) for key, each in _given(template)})
    if method := _method_of(function, template):
        owner = arguments.pop(next(iter(arguments)))
        return f"{_bracketed(owner)}.{method}({_listed(known, arguments, taken=1)})"
    if function in _CREATED:
        options = {name: text for name, text in arguments.items() if text not in {"None", "[]"}}
        return f"{_CREATED[function]}({', '.join(f'{k}={v}' for k, v in options.items())})"
    return f"{_short(function)}({_listed(known, arguments)})"


def _given(template: str) -> list[tuple[str, Any]]:
    return list(json.loads(template).items())


def _known(function: str, version: str) -> Function | None:
    try:
        return lookup(function, version)
    except UnknownFunctionError:
        return None


def _short(function: str) -> str:
    """Name a function as users do: those of barbule with their namespace, others without."""
    if function.startswith(_OWN):
        return function.removeprefix(_OWN)
    return function.partition("(")[0].rpartition(".")[2]


def _method_of(function: str, template: str) -> str | None:
    """Name the method of media columns that makes a call, where there is one."""
    space, _, name = function.removeprefix(_OWN).rpartition(".")
    first = next(iter(json.loads(template).values()), None)
    if not function.startswith(_OWN) or first != {"$": 0}:
        return None
    kinds = {"media": "Media", "image": "Image", "audio": "Audio", "video": "Video"}
    kinds["document"] = "Document"
    column = getattr(ir, f"Barbule{kinds.get(space)}Column", None)
    own = (kind for kind in getattr(column, "__mro__", ()) if kind.__module__.startswith("barbule"))
    return name if any(name in vars(kind) for kind in own) else None


def _said(function: Function | None, arguments: dict[str, str]) -> dict[str, str]:
    """Leave out arguments that are the default of their parameter."""
    if function is None:
        return arguments
    parameters = function.signature.parameters
    left: dict[str, str] = {}
    for name, text in arguments.items():
        known = parameters.get(name)
        default = known.default if known is not None else None
        if known is None or known.default is known.empty or text != _default(default):
            left[name] = text
    return left


def _default(value: Any) -> str:
    return repr(list(value)) if isinstance(value, tuple | list) else repr(value)


def _listed(function: Function | None, arguments: Mapping[str, str], *, taken: int = 0) -> str:
    """Write arguments: what a call must have by its place, the rest by its name."""
    required: set[str] = set()
    if function is not None and function.kind != "model":
        for name, each in function.signature.parameters.items():
            required |= {name} if each.default is each.empty else set()
    elif function is None and len(arguments) + taken == 1:
        required = set(arguments)
    parts = []
    for name, text in arguments.items():
        if name.startswith("*"):
            parts += [text.removeprefix("[").removesuffix("]")] if text != "[]" else []
        else:
            parts.append(text if name in required else f"{name}={text}")
    return ", ".join(parts)


def _argument(item: Any, values: Sequence[str]) -> str:
    if isinstance(item, dict):
        if set(item) == {"$"}:
            return values[item["$"]]
        if item.get("type") == "media" and "of" in item:  # how content for models is marked
            return _argument(item["of"], values)
        if len(item) == 1 and next(iter(item)).startswith("$"):
            return repr(fill_template(item, values))
        pairs = (f"{key!r}: {_argument(each, values)}" for key, each in item.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(item, list):
        return f"[{', '.join(_argument(each, values) for each in item)}]"
    return repr(item)


def _bracketed(code: str) -> str:
    return code.within(ATOM) if isinstance(code, Code) else code
