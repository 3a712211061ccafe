"""Methods of a class that are replaced within a context."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def replaced(kind: type, name: str, wrap: Callable[[Any], Any]) -> Iterator[None]:
    """Replace a method by what is made of it."""
    inherited, former = name not in vars(kind), getattr(kind, name)
    setattr(kind, name, wrap(former))
    try:
        yield
    finally:
        if inherited:
            delattr(kind, name)
        else:
            setattr(kind, name, former)
