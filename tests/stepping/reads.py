"""What a stopped operation reads between its points, and which of it another operation changes.

A step is what an operation does from one point to the next. If all that it reads there is the same
after another operation has run, the other may as well run before the step as after it: to stop at
the point before it would repeat the stop at the point after it.

Recorded are queries of the database, lookups in the catalog, calls of functions and writes. Not
recorded are the stamp and the epoch of the database: they say only that something has to be read
again, and what is read is recorded itself.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from barbule.catalog.catalog_reader import CatalogReader
from barbule.catalog.derivations import Derivations
from stepping.replaced import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from barbule.session import Session

_QUERIES = ("arrow", "changes", "rows_with_values", "tables", "columns")
# The attributes of a catalog that others change.
_ATTRIBUTES = {"head", "structure", "media_deletion"}
# Its methods that look nothing up; whether a derived value is valid follows from its records.
_NO_LOOKUPS = {"begin", "put", "track_rows_read", "refresh", "structure_changed_since"}


class Reads:
    """The reads of an operation until it is stopped, by step.

    Attributes
    ----------
    step
        The number of points that the operation has reached.
    recording
        Whether reads are recorded: until the operation is stopped.
    """

    def __init__(self) -> None:
        self.step = 0
        self.recording = True
        self._reads: list[tuple[int, Callable[[], Any], str]] = []
        self._known: set[object] = set()
        self._affected: set[int] = set()
        self._in_flight: dict[int, set[str]] = defaultdict(set)
        self._lock = threading.Lock()

    def read(self, again: Callable[[], Any], value: Any, key: object = None) -> None:
        """Record a read and its value.

        Parameters
        ----------
        again
            Reads it again.
        key
            Identifies the read, which is then recorded once for each step.
        """
        with self._lock:
            if key is not None and (self.step, key) in self._known:
                return
            self._known.add((self.step, key))
            self._reads.append((self.step, again, _text(value)))

    def write(self) -> None:
        """Record that the step writes, which the other operation may read."""
        self._affected.add(self.step)

    @contextlib.contextmanager
    def calling(self, keys: Iterable[str]) -> Iterator[None]:
        """Record the calls that are in flight within this context."""
        first = self.step
        try:
            yield
        finally:
            for step in range(first, self.step + 1):
                self._in_flight[step].update(keys)

    def affected(self, called: set[str]) -> set[int]:
        """Return the steps that depend on whether another operation, just run, runs before them.

        Parameters
        ----------
        called
            The keys of the calls that the other has made or waited for.
        """
        affected = set(self._affected)
        affected |= {step for step, keys in self._in_flight.items() if keys & called}
        for step, again, before in self._reads:
            if step not in affected and _outcome(again) != before:
                affected.add(step)
        return affected


def _outcome(read: Callable[[], Any]) -> str:
    try:
        return _text(read())
    except Exception as error:  # noqa: BLE001 - it differs from what was read
        return repr(error)


def _text(value: Any) -> str:
    """Describe what was read, without the order of rows, which says nothing."""
    if hasattr(value, "to_pylist") and hasattr(value, "schema"):
        return f"{value.schema} {sorted(map(repr, value.to_pylist()))}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_text, value))}]"
    return repr(sorted(value) if isinstance(value, set | frozenset) else value)


@contextlib.contextmanager
def recording(session: Session, reads: Reads) -> Iterator[None]:
    """Record what is read from the database and the catalog of a session."""
    engine = session._engine
    backend, metadata = type(engine.backend), engine.catalog.metadata
    with contextlib.ExitStack() as stack:
        for name in _QUERIES:
            stack.enter_context(replaced(backend, name, _query(engine.backend, reads)))
        stack.enter_context(replaced(backend, "batches", _batches(engine.backend, reads)))
        stack.enter_context(replaced(backend, "snapshot", _snapshot(engine.backend, reads)))
        for name in ("get", "get_pending"):
            stack.enter_context(replaced(Derivations, name, _derivation(metadata, reads)))
        lookup = _lookup(metadata, reads)
        stack.enter_context(replaced(CatalogReader, "__getattribute__", lookup))
        yield


def _query(backend: Any, reads: Reads) -> Callable[[Any], Any]:
    def wrap(method: Any) -> Any:
        @functools.wraps(method)
        def query(self: Any, *args: Any) -> Any:
            value = method(self, *args)
            if self is backend and reads.recording:
                reads.read(lambda: method(self, *args), value)
            return value

        return query

    return wrap


def _batches(backend: Any, reads: Reads) -> Callable[[Any], Any]:
    """Record a query at each step at which its rows are fetched."""

    def wrap(method: Any) -> Any:
        @functools.wraps(method)
        def batches(self: Any, query: Any, staged: Any, size: int) -> Iterator[Any]:
            def again() -> list[Any]:
                return [batch.to_pylist() for batch in method(self, query, staged, size)]

            recorded = self is backend and reads.recording
            value = again() if recorded else None
            for batch in method(self, query, staged, size):
                if recorded and reads.recording:
                    reads.read(again, value)
                yield batch
            if recorded and reads.recording:
                reads.read(again, value)

        return batches

    return wrap


def _snapshot(backend: Any, reads: Reads) -> Callable[[Any], Any]:
    def wrap(method: Any) -> Any:
        @contextlib.contextmanager
        def snapshot(self: Any) -> Iterator[int]:
            with method(self) as head:
                if self is backend and reads.recording:
                    reads.read(lambda: "another snapshot", head)
                yield head

        return snapshot

    return wrap


def _derivation(metadata: Any, reads: Reads) -> Callable[[Any], Any]:
    """Record the records from which a value was derived, now or at an earlier step."""

    def wrap(method: Any) -> Any:
        @functools.wraps(method)
        def get(self: Any, *args: Any) -> Any:
            derived = method(self, *args)
            if self._metadata is metadata and reads.recording:
                tables = sorted(derived.tables)

                def records() -> list[Any]:
                    return [metadata.records.get(table_id, ())[-1:] for table_id in tables]

                reads.read(records, records(), ("derived", *tables))
            return derived

        return get

    return wrap


def _lookup(metadata: Any, reads: Reads) -> Callable[[Any], Any]:
    """Record what the catalog, and its view of each transaction, return to others."""
    local = threading.local()

    def wrap(former: Any) -> Any:
        def call(catalog: Any, name: str, method: Any, *args: Any, **options: Any) -> Any:
            args = tuple(tuple(each) if isinstance(each, Iterator) else each for each in args)
            local.inside = True
            try:
                value = method(*args, **options)
            finally:
                local.inside = False
            key = (id(catalog), name, repr(args), repr(options))
            reads.read(lambda: method(*args, **options), value, key)
            return value

        def attribute(self: Any, name: str) -> Any:
            value = former(self, name)
            if not reads.recording or name.startswith("_") or getattr(local, "inside", False):
                return value
            if former(self, "__dict__").get("metadata") is not metadata:
                return value
            if name in _ATTRIBUTES:
                reads.read(lambda: former(self, name), value, (id(self), name))
            elif callable(value) and name not in _NO_LOOKUPS:
                return functools.partial(call, self, name, value)
            return value

        return attribute

    return wrap
