"""Gate: pauses an operation at its first function call until another operation has ended."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE = 120  # seconds until a thread counts as stuck


class Gate:
    """Pauses the first call of a function until another operation has ended."""

    def __init__(self) -> None:
        self._armed = False
        self._reached = threading.Event()
        self._opened = threading.Event()
        self._results: list[Any] = []

    def __call__(self) -> None:
        if self._armed:
            self._reached.set()
            assert self._opened.wait(_PATIENCE)

    def start(self, slow: Callable[[], Any]) -> None:
        """Run an operation in a thread up to its first call."""

        def run() -> None:
            try:
                self._results.append(slow())
            except BarbuleError as error:
                self._results.append(error)

        self._armed = True
        self._thread = threading.Thread(target=run)
        self._thread.start()
        assert self._reached.wait(_PATIENCE), self._results
        self._armed = False

    def finish(self) -> Any:
        """Run the rest of the operation; return its result."""
        self._opened.set()
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive()
        return self._results[0]

    def during(self, slow: Callable[[], Any], quick: Callable[[], Any]) -> Any:
        """Run `slow` up to its first call, then `quick`, then the rest; return `slow`'s result."""
        self.start(slow)
        quick()
        return self.finish()
