"""One parameter of a function, as its calls see it."""

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
        The type that an argument has in each row; None where the function does not declare it.
    nullable
        Whether the function takes None; otherwise a row with None is not called and gives None.
    batched
        Whether a batch function takes a list here, one item for each row.
    convert
        Makes the object that the annotation promises of a cell; None where the cell is it.
    hint
        The annotation, of one item where it is batched; None where there is none.
    takes_constants
        Whether it takes a constant as it is, though it is batched: it has a default and no
        annotation.
    """

    name: str
    dtype: dt.DataType | None = None
    nullable: bool = False
    batched: bool = False
    convert: Callable[[Any], object] | None = None
    hint: object = None
    takes_constants: bool = False
