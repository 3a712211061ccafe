"""One embedded Chroma directory in one process: its owner lock, state, client, collections.

Owns when such a directory may be believed: one owner process, a probe after an unclean end,
an empty next generation on any doubt. A damaged directory must not stop its caller. Knows
collections, not what is done with them.

A directory given as `root` has `root/chroma-<n>` (Chroma's own files), `root/state.json`
(see `state`) and `root/chroma.lock` (see `owner`).
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from barbule.errors import VectorIndexError
from barbule.indexes.chroma import state as states
from barbule.indexes.chroma.collection import (
    Vectors,
    collection_name,
    create_collection,
    translated,
)
from barbule.indexes.chroma.integrity import examine
from barbule.indexes.chroma.owner_lock import OwnerLock

if TYPE_CHECKING:
    from pathlib import Path

    from barbule.indexes.base import Graph, Metric

__all__ = ["Directory"]

_NUMBERED = re.compile(r"chroma-(\d+)")


class Directory:
    """One Chroma directory in this process, shared by the stores that opened it.

    The client is started by the first index that is opened: until then the directory costs
    a lock and no import.
    """

    def __init__(self, root: Path, graph: Graph) -> None:
        self.root = root
        self.graph = graph
        self.pid = os.getpid()
        self.shares = 0
        self.guard = threading.RLock()
        self.state = states.StoreState()
        self._failed: set[str] = set()
        self._lock = OwnerLock(root / "chroma")
        self._owned = False
        self._closed = False
        self._client: Any = None
        self._open: dict[str, Vectors] = {}

    def claim(self) -> str | None:
        """Become the owner if possible; return why not in words, None when owner."""
        # Before the guard, which a thread of the parent process may hold for ever.
        if self.pid != os.getpid():
            return f"{self.root} was opened before this process was forked."
        with self.guard:
            if self._closed:
                # A handle that outlived its store must not take the lock again.
                return f"{self.root} was closed."
            if self._owned and self._lock.valid():
                return None
            if self._owned:
                # The directory was removed under us: what is open writes into the void.
                self._let_go()
            return self._acquire()

    def _acquire(self) -> str | None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._owned = self._lock.acquire()
        except ImportError:
            return "this platform has no file locks that guard an embedded Chroma."
        except OSError as error:
            return f"{self.root} cannot be written: {error.strerror or error}."
        if not self._owned:
            return f"{self.root} belongs to the process {self._lock.holder()}."
        return None

    def demand(self) -> None:
        """Raise unless this process owns the directory."""
        reason = self.claim()
        if reason is not None:
            raise VectorIndexError(
                f"the vector store is not usable: {reason}",
                hint="Searches go on exactly in the database meanwhile.",
            )

    def save(self, state: states.StoreState) -> None:
        """Write the state, then go by it."""
        try:
            states.save(self.root, state)
        except OSError as error:
            raise VectorIndexError(
                f"the state of the vector store {self.root} cannot be written: "
                f"{error.strerror or error}.",
                hint="Free the disk or restore the directory; the indexes are rebuilt.",
            ) from error
        self.state = state

    def client(self) -> Any:
        """Return the Chroma client, having made sure that what it opens can be believed."""
        if self._client is None:
            self.state = states.load(self.root) or _unknown(self.root)
            self._examine()
            try:
                self._client = self._connect()
            except VectorIndexError:
                self._start_over()
                self._client = self._connect()
        return self._client

    @property
    def path(self) -> Path:
        """Where Chroma itself keeps its files."""
        return self.root / f"chroma-{self.state.directory}"

    def _connect(self) -> Any:
        import chromadb
        from chromadb.config import Settings

        with translated(f"the vector store {self.root}", "be opened"):
            client = chromadb.PersistentClient(
                str(self.path),
                # A .env of the working directory is the user's, not Chroma's.
                settings=Settings(anonymized_telemetry=False, _env_file=None),
            )
            client.count_collections()
        return client

    def _examine(self) -> None:
        """Move on from whatever cannot be believed, before Chroma opens it here."""
        indexes = self.state.indexes
        if not self.path.is_dir():
            if indexes:
                self._start_over()
            return
        if not indexes or (
            self.state.files == states.fingerprint(self.path)
            and not any(index.dirty for index in indexes.values())
        ):
            return
        # An index that never got to a watermark is filled anew anyway.
        names = {
            name: collection_name(name, index.generation)
            for name, index in indexes.items()
            if index.watermark >= 0
        }
        verdict = examine(self.path, names.values())
        if not verdict.opens:
            self._start_over()
            return
        lost = [name for name in indexes if names.get(name) not in verdict.sound]
        self.save(replace(self.state, indexes={**indexes, **{n: _next(indexes[n]) for n in lost}}))

    def _start_over(self) -> None:
        """Leave the Chroma directory for a new and empty one."""
        old = self.path
        self.save(
            states.StoreState(
                directory=self.state.directory + 1,
                indexes={name: _next(index) for name, index in self.state.indexes.items()},
            )
        )
        # What stays behind costs disk only: its number is not used again.
        shutil.rmtree(old, ignore_errors=True)

    def vectors(self, name: str, dimension: int, metric: Metric) -> Vectors:
        """Return the collection of an index as it stands; raise when it was left since."""
        self.demand()
        found = self._open.get(name)
        if found is None or (found.dimension, found.metric) != (dimension, metric):
            raise VectorIndexError(
                f"index {name!r} was closed, dropped or opened with another shape.",
                hint="Open it again from the store.",
            )
        return found

    def open(self, name: str, dimension: int, metric: Metric) -> None:
        """Open the collection of an index, an empty one if the present is not to be believed."""
        self.demand()
        with self.guard:
            if self._failed:
                self._stop()
            client = self.client()
            known = self._open.get(name)
            if known is None or (known.dimension, known.metric) != (dimension, metric):
                found = self._reopen(client, name, dimension, metric)
                if found is None:
                    self.renew(name, dimension, metric)
                else:
                    self._open[name] = found

    def doubt(self, name: str, *, damaged: bool) -> None:
        """Note that an operation on an index failed, so that the next opening looks into it."""
        with self.guard:
            self._failed.add(name)
            noted = self.state.indexes.get(name)
            if noted is None:
                return
            watermark = -1 if damaged else noted.watermark
            suspect = replace(noted, dirty=True, watermark=watermark)
            # If it cannot be written either, whoever opens the directory finds it changed.
            with suppress(VectorIndexError):
                self.save(self.state.having(name, suspect))

    def failed(self, name: str) -> bool:
        """Return whether an operation on an index failed since it was opened."""
        return name in self._failed

    def mark(self, name: str) -> None:
        """Note, before the first write after a watermark, that an index is being written."""
        noted = self.state.indexes[name]
        if not noted.dirty:
            self.save(self.state.having(name, replace(noted, dirty=True)))

    def reach(self, name: str, watermark: int, count: int) -> None:
        """Note that an index is complete up to a commit and its writes have returned."""
        noted = replace(self.state.indexes[name], watermark=watermark, count=count, dirty=False)
        files = states.fingerprint(self.path)
        self.save(replace(self.state.having(name, noted), files=files))

    def _settle(self) -> None:
        """Note that all writes have returned, except on indexes where one failed."""
        if self._client is None:
            return
        indexes = dict(self.state.indexes)
        for name, vectors in self._open.items():
            if name not in self._failed and name in indexes:
                indexes[name] = replace(indexes[name], dirty=False, count=vectors.count())
        self.save(replace(self.state, indexes=indexes, files=states.fingerprint(self.path)))

    def _reopen(self, client: Any, name: str, dimension: int, metric: Metric) -> Vectors | None:
        """Return the collection that the state speaks of, None if it is not as it says."""
        noted = self.state.indexes.get(name)
        if noted is None or (noted.dimension, noted.metric) != (dimension, metric):
            return None
        try:
            with translated(f"index {name!r}", "be opened"):
                found = client.get_collection(
                    collection_name(name, noted.generation), embedding_function=None
                )
            vectors = Vectors(name, found, dimension, metric)
            count = vectors.count()
        except VectorIndexError:
            return None
        if noted.watermark < 0:
            return vectors if count == 0 else None
        return vectors if noted.dirty or noted.count == count else None

    def renew(self, name: str, dimension: int, metric: Metric) -> None:
        """Give an index an empty collection of a generation that never was."""
        client = self.client()
        old = self.state.indexes.get(name)
        made, generation = create_collection(
            client, name, metric, graph=self.graph, above=old.generation if old else 0
        )
        fresh = states.IndexState(dimension=dimension, metric=metric, generation=generation)
        # Noted before the old collection goes: should that crash, it is not tried again.
        self.save(self.state.having(name, fresh))
        self._open[name] = Vectors(name, made, dimension, metric)
        self._failed.discard(name)
        if old is not None:
            self._discard(collection_name(name, old.generation))

    def drop(self, name: str) -> None:
        """Forget an index and remove its collection."""
        self.demand()
        with self.guard:
            self.client()
            self._open.pop(name, None)
            self._failed.discard(name)
            old = self.state.indexes.get(name)
            if old is not None:
                self.save(self.state.without(name))
                self._discard(collection_name(name, old.generation))

    def _discard(self, collection: str) -> None:
        # One that cannot be deleted, or is gone, is never opened again.
        with suppress(VectorIndexError), translated(collection, "be deleted"):
            self.client().delete_collection(collection)
        if not any(index.dirty for index in self.state.indexes.values()):
            self.save(replace(self.state, files=states.fingerprint(self.path)))

    def _stop(self) -> None:
        client, self._client = self._client, None
        self._open.clear()
        self._failed.clear()
        if client is not None:
            with suppress(VectorIndexError), translated(f"{self.root}", "be closed"):
                client.close()

    def _let_go(self) -> None:
        self._stop()
        self._lock.release()
        self._owned = False

    def close(self) -> None:
        """Give up the directory, noting that it was left whole."""
        if self.pid != os.getpid():
            return
        with self.guard:
            self._closed = True
            if not self._owned:
                return
            if self._lock.valid():
                # What cannot be noted is examined when the directory is next opened.
                with suppress(VectorIndexError):
                    self._settle()
            self._let_go()


def _next(index: states.IndexState) -> states.IndexState:
    return states.IndexState(index.dimension, index.metric, index.generation + 1)


def _unknown(root: Path) -> states.StoreState:
    """Return a state for a directory without one: beyond all that may lie there."""
    used = [int(found[1]) for entry in root.iterdir() if (found := _NUMBERED.fullmatch(entry.name))]
    for number in used:
        shutil.rmtree(root / f"chroma-{number}", ignore_errors=True)
    return states.StoreState(directory=max(used, default=0) + 1)
