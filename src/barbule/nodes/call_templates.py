"""The arguments of a call as a JSON template, with a slot for each expression.

Owns how Python values are written into a template and read from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.errors import ExpressionError, with_article
from barbule.json_codec import from_tagged, is_tag, to_compact, to_tagged
from barbule.nodes.media_literals import image_literal

__all__ = ["INNER_CALL", "bind_arguments", "fill_template"]

JsonTree: TypeAlias = (
    "dict[str, Any] | list[Any] | tuple[Any, ...] | str | int | float | bool | None"
)

# The key, in a template of the planner, of an inner call whose result is the argument.
INNER_CALL = "$call"


def bind_arguments(arguments: object) -> tuple[str, tuple[ops.Value, ...]]:
    """Split arguments, nested containers included, into a template and its expressions.

    Parameters
    ----------
    arguments
        Python values, Ibis expressions, and lists and dicts that hold both.

    Returns
    -------
    tuple
        The JSON template and the expressions that fill its slots.

    Raises
    ------
    ExpressionError
        If a value is neither an expression nor representable in JSON.

    Examples
    --------
    >>> import ibis
    >>> t = ibis.table({"a": "string"}, name="t")
    >>> bind_arguments({"x": t.a, "n": 3})[0]
    '{"x":{"$":0},"n":3}'
    """
    values: list[ops.Value] = []
    tree = _encode(arguments, values)
    return to_compact(tree), tuple(values)


def _encode(value: object, values: list[ops.Value]) -> JsonTree:
    if isinstance(value, ir.Expr | ops.Value):
        values.append(_unnamed(value.op() if isinstance(value, ir.Expr) else value))
        return {"$": len(values) - 1}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else to_tagged(value)
    if (tagged := to_tagged(value)) is not None:
        return tagged
    if isinstance(value, Mapping):
        fields = {str(key): _encode(member, values) for key, member in value.items()}
        # A user's own "$" must not be read as one of barbule's.
        return {"$map": list(fields.items())} if _looks_tagged(fields) else fields
    if isinstance(value, Sequence | set | frozenset):
        return [_encode(member, values) for member in value]
    if (image := image_literal(value)) is not None:
        return _encode(image, values)
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return _encode(value.tolist(), values)
    raise ExpressionError(
        f"{with_article(type(value).__name__)} cannot be an argument of a stored call.",
        value=value,
        hint="Pass columns, strings, numbers, images, or lists and dicts of these.",
    )


def _unnamed(value: ops.Value) -> ops.Value:
    """Return a value without its alias, which is not part of an argument."""
    return _unnamed(value.arg) if isinstance(value, ops.Alias) else value


def _looks_tagged(fields: Mapping[str, object]) -> bool:
    return len(fields) == 1 and next(iter(fields)).startswith("$")


def fill_template(tree: Any, row: Sequence[Any]) -> Any:
    """Put the values of one row into the slots of a parsed template.

    Examples
    --------
    >>> fill_template({"x": {"$": 0}, "n": [1, {"$": 1}]}, ["a", True])
    {'x': 'a', 'n': [1, True]}
    """
    if isinstance(tree, list):
        return [fill_template(member, row) for member in tree]
    if not isinstance(tree, dict):
        return tree
    if len(tree) == 1:
        ((key, member),) = tree.items()
        if key == "$":
            return row[member]
        if key == "$map":
            return {name: fill_template(field, row) for name, field in member}
        if is_tag(key):
            return from_tagged(key, member)
    return {key: fill_template(member, row) for key, member in tree.items()}
