"""The node of a function call.

Owns the parts of a call: the function, its arguments as a template, and its result type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import ibis.expr.datashape as ds
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.rules as rlz
import ibis.expr.types as ir
from ibis.common.annotations import attribute
from ibis.common.typing import VarTuple

from barbule.nodes.call_templates import bind_arguments

__all__ = ["FunctionCall", "build_call"]


class FunctionCall(ops.Value):
    """A call of a registered function, for each row of the relation of its arguments.

    Parameters
    ----------
    function
        The name in the registry.
    template
        The arguments as JSON, with `{"$": i}` where the value of `values[i]` belongs.
    values
        The arguments that are expressions.
    dtype
        The result type of the function.
    version
        The version of the function for which the call was written.
    cached
        Whether answers are kept in the call ledger.
    on_error
        The error policy for a row for which it fails, "abort" or "null"; None uses the function's
        own.
    """

    function: str
    template: str
    values: VarTuple[ops.Value]
    dtype: dt.DataType
    version: str
    cached: bool = False
    on_error: Optional[str] = None

    @attribute
    def shape(self) -> ds.DataShape:
        """Columnar if any argument is columnar."""
        return rlz.highest_precedence_shape(self.values) if self.values else ds.scalar

    @property
    def name(self) -> str:
        """The short name of the function."""
        return self.function.rsplit(".", 1)[-1]


def build_call(
    function: str,
    dtype: dt.DataType,
    arguments: Mapping[str, Any],
    *,
    version: str = "1",
    cached: bool = False,
    on_error: str | None = None,
) -> ir.Value:
    """Return the expression of a call from the bound arguments of a function."""
    template, values = bind_arguments(arguments)
    return FunctionCall(
        function=function,
        template=template,
        values=values,
        dtype=dtype,
        version=version,
        cached=cached,
        on_error=on_error,
    ).to_expr()
