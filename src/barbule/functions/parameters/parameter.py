"""One parameter of a function, as seen by its calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ibis.expr.datatypes as dt

__all__ = ["Parameter"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function.

    Attributes
    ----------
    dtype
        The type of an argument in each row; None if the function does not declare it.
    nullable
        Whether the function accepts None; otherwise it is not called for a row with None, whose
        result is None.
    batched
        Whether a batch function takes a list here, with one item for each row.
    convert
        Creates the object of the annotation from a cell; None if the cell is already the object.
    hint
        The annotation, of one item if it is batched; None if there is none.
    takes_constants
        Whether it takes a constant unchanged, although it is batched: it has a default and no
        annotation.
    """

    name: str
    dtype: dt.DataType | None = None
    nullable: bool = False
    batched: bool = False
    convert: Callable[[Any], object] | None = None
    hint: object = None
    takes_constants: bool = False
