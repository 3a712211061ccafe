"""The switch of the fast paths: shortcuts whose results are those of the general way.

Owns the switch alone. Each fast path asks it where it begins; without fast paths (*plain mode*)
everything goes the general way, so that tests can compare the two.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["fast_paths_enabled", "plain_mode"]

_PLAIN_VARIABLE = "BARBULE_TEST_PLAIN"


@dataclass
class _Switch:
    enabled: bool


_SWITCH = _Switch(enabled=not os.environ.get(_PLAIN_VARIABLE))


def fast_paths_enabled() -> bool:
    """Whether fast paths are taken."""
    return _SWITCH.enabled


@contextmanager
def plain_mode() -> Iterator[None]:
    """Take no fast path in this context, in any thread."""
    previous, _SWITCH.enabled = _SWITCH.enabled, False
    try:
        yield
    finally:
        _SWITCH.enabled = previous
