"""A call inside of a call: where the inner one gives an image, both become one call.

Owns the rewrite that hands images from function to function as they are. Else each would be
written as a file into the media store, to be read again by the next. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.errors import UnknownFunctionError
from barbule.functions.registry import lookup
from barbule.nodes import ERROR, INNER_CALL, CellError, FunctionCall
from barbule.types import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["fuse_images"]


def fuse_images(root: ops.Relation) -> ops.Relation:
    """Put each call that gives an image into the only call that takes it.

    What is used more than once is computed once, and so left alone; so are calls of the ledger,
    of models and of asynchronous functions, and those with retries or a time limit. The outer
    call fails as the inner one did, so the errors of an inner call are among its own.
    """
    inner = _only_taken_once(root)

    def fuse(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if isinstance(node, CellError) and node.arg in inner:
            return ops.Literal(None, ERROR)
        if isinstance(node, FunctionCall) and any(value in inner for value in node.values):
            values = (kwargs or {}).get("values", node.values)
            taken = {place for place, value in enumerate(node.values) if value in inner}
            return _fused(node, values, taken)
        return node.__recreate__(kwargs) if kwargs else node

    return root.replace(fuse) if inner else root


def _only_taken_once(root: ops.Relation) -> set[ops.Node]:
    """Find the calls that give an image to one other call, as an argument, and to nothing else."""
    uses: Counter[ops.Node] = Counter()
    taken: set[ops.Node] = set()

    def visit(node: ops.Node, _results: Any, **_kwargs: Any) -> None:
        if isinstance(node, CellError):
            return
        uses.update(child for child in node.__children__ if isinstance(child, FunctionCall))
        if isinstance(node, FunctionCall) and _takes_inner(node):
            direct = _direct_places(node.template)
            taken.update(
                value
                for place, value in enumerate(node.values)
                if place in direct and _is_inner(value)
            )

    root.map(visit)
    return {value for value in taken if uses[value] == 1}


def _direct_places(template: str) -> set[int]:
    """List the places that are arguments themselves, not parts of a list or a dict."""
    return {
        item["$"]
        for item in json.loads(template).values()
        if isinstance(item, dict) and set(item) == {"$"}
    }


def _takes_inner(call: FunctionCall) -> bool:
    try:
        function = lookup(call.function, call.version)
    except UnknownFunctionError:  # the executor says so, where the call is made
        return False
    in_memory = function.images not in {"file", "current"}
    rows = function.kind in {"row", "batch"} and not function.is_async
    return in_memory and rows and not call.cached


def _is_inner(value: ops.Value) -> bool:
    if not isinstance(value, FunctionCall) or not isinstance(value.dtype, Image) or value.cached:
        return False
    try:
        function = lookup(value.function, value.version)
    except UnknownFunctionError:
        return False
    steady = function.retries == 0 and function.timeout is None
    return function.kind == "row" and not function.is_async and steady


def _fused(call: FunctionCall, values: Sequence[Any], taken: set[int]) -> FunctionCall:
    """Write the calls at some places of a template into it, with the values that they take."""
    places: dict[int, Any] = {}
    flat: list[ops.Value] = []
    for place, value in enumerate(values):
        if place in taken:
            own = {number: {"$": len(flat) + number} for number in range(len(value.values))}
            described = _placed(json.loads(value.template), own)
            inner = {"function": value.function, "version": value.version, "arguments": described}
            if value.on_error is not None:
                inner["on_error"] = value.on_error
            places[place] = {INNER_CALL: inner}
            flat += value.values
        else:
            places[place] = {"$": len(flat)}
            flat.append(value)
    tree = _placed(json.loads(call.template), places)
    template = json.dumps(tree, separators=(",", ":"), ensure_ascii=False)
    return call.copy(template=template, values=tuple(flat))


def _placed(tree: Any, places: dict[int, Any]) -> Any:
    if isinstance(tree, list):
        return [_placed(item, places) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if set(tree) == {"$"}:
        return places[tree["$"]]
    return {key: _placed(item, places) for key, item in tree.items()}
