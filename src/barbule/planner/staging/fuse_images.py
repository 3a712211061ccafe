"""Fuses a call inside a call: if the inner one returns an image, both become one call.

Owns the rewrite that passes images from function to function directly. Otherwise each would be
written to the media store as a file, and read again by the next function. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

import ibis.expr.operations as ops

from barbule.errors import UnknownFunctionError
from barbule.functions.registry import lookup
from barbule.json_codec import to_compact
from barbule.nodes import CELL_ERROR_TYPE, INNER_CALL, CellError, FunctionCall
from barbule.types import declaration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

__all__ = ["fuse_images"]

# A parsed template: JSON.
Template: TypeAlias = "dict[str, Any] | list[Any] | str | float | bool | None"


def fuse_images(root: ops.Relation) -> ops.Relation:
    """Merge each call that returns an image into the only call that takes it.

    A call that is used more than once is computed once, and so not merged; nor are calls of the
    ledger, of models and of asynchronous functions, and those with retries or a timeout. The outer
    call fails as the inner one did, so the errors of an inner call are among its own.
    """
    inner_calls = _fusible_calls(root)

    def fuse(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if isinstance(node, CellError) and node.arg in inner_calls:
            return ops.Literal(None, CELL_ERROR_TYPE)
        if isinstance(node, FunctionCall) and any(value in inner_calls for value in node.values):
            values = (kwargs or {}).get("values", node.values)
            slots = {slot for slot, value in enumerate(node.values) if value in inner_calls}
            return _fused(node, values, slots)
        return node.__recreate__(kwargs) if kwargs else node

    return root.replace(fuse) if inner_calls else root


def _fusible_calls(root: ops.Relation) -> set[ops.Node]:
    """Find the calls that pass an image to exactly one other call, as an argument."""
    uses: Counter[ops.Node] = Counter()
    arguments: set[ops.Node] = set()

    def visit(node: ops.Node, _results: object, **_kwargs: object) -> None:
        if isinstance(node, CellError):
            return
        uses.update(child for child in node.__children__ if isinstance(child, FunctionCall))
        if isinstance(node, FunctionCall) and _can_be_outer(node):
            direct_slots = _direct_slots(node.template)
            arguments.update(
                value
                for slot, value in enumerate(node.values)
                if slot in direct_slots and _can_be_inner(value)
            )

    root.map(visit)
    return {value for value in arguments if uses[value] == 1}


def _direct_slots(template: str) -> set[int]:
    """List the slots that are arguments themselves, not parts of a list or a dict."""
    return {
        argument["$"]
        for argument in json.loads(template).values()
        if isinstance(argument, dict) and set(argument) == {"$"}
    }


def _can_be_outer(call: FunctionCall) -> bool:
    try:
        function = lookup(call.function, call.version)
    except UnknownFunctionError:  # the executor reports it, when the call is made
        return False
    in_memory = function.images not in {"file", "current"}
    rows = function.kind in {"row", "batch"} and not function.is_async
    return in_memory and rows and not call.cached


def _can_be_inner(value: ops.Value) -> bool:
    if not isinstance(value, FunctionCall) or value.cached:
        return False
    if declaration(value.dtype).modality != "image":
        return False
    try:
        function = lookup(value.function, value.version)
    except UnknownFunctionError:
        return False
    steady = function.retries == 0 and function.timeout is None
    return function.kind == "row" and not function.is_async and steady


def _fused(call: FunctionCall, values: Sequence[ops.Value], slots: set[int]) -> FunctionCall:
    """Write the calls in some slots of a template into it, with the values that they take."""
    replacements: dict[int, dict[str, Any]] = {}
    new_values: list[ops.Value] = []
    for slot, value in enumerate(values):
        if slot in slots:
            own_slots: dict[int, dict[str, Any]] = {
                number: {"$": len(new_values) + number} for number in range(len(value.values))
            }
            arguments = _with_slots(json.loads(value.template), own_slots)
            inner = {"function": value.function, "version": value.version, "arguments": arguments}
            if value.on_error is not None:
                inner["on_error"] = value.on_error
            replacements[slot] = {INNER_CALL: inner}
            new_values += value.values
        else:
            replacements[slot] = {"$": len(new_values)}
            new_values.append(value)
    tree = _with_slots(json.loads(call.template), replacements)
    template = to_compact(tree)
    return call.copy(template=template, values=tuple(new_values))


def _with_slots(tree: Template, replacements: Mapping[int, dict[str, Any]]) -> Template:
    """Fill the slots of a parsed template."""
    if isinstance(tree, list):
        return [_with_slots(member, replacements) for member in tree]
    if not isinstance(tree, dict):
        return tree
    if set(tree) == {"$"}:
        return replacements[tree["$"]]
    return {key: _with_slots(member, replacements) for key, member in tree.items()}
