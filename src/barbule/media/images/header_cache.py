"""The headers of image files that were read last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from barbule.media.images.headers import ImageHeader

    FileState = tuple[str, int, int]
    """A reference, and the modification time and size of its file."""

__all__ = ["HeaderCache"]

_MAX_HEADERS = 65_536


class HeaderCache:
    """Image headers, by the reference and the state of their file; the oldest are dropped."""

    def __init__(self) -> None:
        self._headers: OrderedDict[FileState, ImageHeader] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, state: FileState, read: Callable[[], ImageHeader]) -> ImageHeader:
        """Return the header of a file in a state; it is read if it is not known."""
        header = self._headers.get(state)
        if header is None:
            header = read()
            with self._lock:
                if len(self._headers) >= _MAX_HEADERS:
                    self._headers.popitem(last=False)
                self._headers[state] = header
        return header

    def forget(self, state: FileState) -> None:
        """Drop the header of a file in a state."""
        with self._lock:
            self._headers.pop(state, None)

    def clear(self) -> None:
        """Drop all headers."""
        with self._lock:
            self._headers.clear()
