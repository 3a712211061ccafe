"""One embedded Chroma directory in one process: its owner lock, state, client, collections.

Owns when such a directory is reliable: one owner process, an examination after an unclean end, an
empty next generation where an index may be damaged. A damaged directory must not stop its caller.

A directory `root` has `root/chroma-<n>` (Chroma's own files), `root/state.json` (see `state`) and
`root/chroma.lock` (see `owner_lock`).
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.errors import VectorIndexError
from barbule.indexes.chroma import state as states
from barbule.indexes.chroma.collection import (
    VectorCollection,
    collection_name,
    create_collection,
    translate_errors,
)
from barbule.indexes.chroma.integrity import examine
from barbule.indexes.chroma.owner_lock import OwnerLock

if TYPE_CHECKING:
    from pathlib import Path

    from chromadb.api import ClientAPI

    from barbule.indexes.base import Graph, Metric

__all__ = ["Directory"]

_DIRECTORY_NAME = re.compile(r"chroma-(\d+)")


class Directory:
    """One Chroma directory in this process, shared by the stores that opened it.

    The client is started when the first index is opened: until then the directory only has a lock,
    and Chroma is not imported.
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
        self._client: ClientAPI | None = None
        self._open: dict[str, VectorCollection] = {}

    def claim(self) -> str | None:
        """Become the owner if possible; return why not, for messages, or None when owner."""
        # Before the lock, which a thread of the parent process may hold for ever.
        if self.pid != os.getpid():
            return f"{self.root} was opened before this process was forked."
        with self.guard:
            if self._closed:
                # An index that outlives its store must not take the lock again.
                return f"{self.root} was closed."
            if self._owned and self._lock.valid():
                return None
            if self._owned:
                # The directory was removed: open collections would write to deleted files.
                self._release()
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

    def require_ownership(self) -> None:
        """Raise unless this process owns the directory."""
        reason = self.claim()
        if reason is not None:
            raise VectorIndexError(
                f"the vector store is not usable: {reason}",
                hint="Until then searches are exact, in the database.",
            )

    def save(self, state: states.StoreState) -> None:
        """Write the state, then use it."""
        try:
            states.save(self.root, state)
        except OSError as error:
            raise VectorIndexError(
                f"the state of the vector store {self.root} cannot be written: "
                f"{error.strerror or error}.",
                hint="Free disk space or restore the directory; the indexes are then rebuilt.",
            ) from error
        self.state = state

    def client(self) -> ClientAPI:
        """Return the Chroma client, started after a check of the directory."""
        client = self._client
        if client is None:
            self.state = states.load(self.root) or _state_after(self.root)
            self._examine()
            try:
                client = self._connect()
            except VectorIndexError:
                self._start_over()
                client = self._connect()
            self._client = client
        return client

    @property
    def path(self) -> Path:
        """The directory of Chroma's own files."""
        return self.root / f"chroma-{self.state.directory}"

    def _connect(self) -> ClientAPI:
        import chromadb
        from chromadb.config import Settings

        with translate_errors(f"the vector store {self.root}", "be opened"):
            client = chromadb.PersistentClient(
                str(self.path),
                # A .env in the working directory is the user's, not Chroma's.
                settings=Settings(anonymized_telemetry=False, _env_file=None),
            )
            client.count_collections()
        return client

    def _examine(self) -> None:
        """Leave collections that may be damaged, before Chroma opens them in this process."""
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
        # An index without a watermark is filled again anyway.
        names = {
            name: collection_name(name, index.generation)
            for name, index in indexes.items()
            if index.watermark >= 0
        }
        result = examine(self.path, names.values())
        if not result.opens:
            self._start_over()
            return
        damaged = {
            name: _next_generation(index)
            for name, index in indexes.items()
            if names.get(name) not in result.intact
        }
        self.save(replace(self.state, indexes={**indexes, **damaged}))

    def _start_over(self) -> None:
        """Replace the Chroma directory by a new and empty one."""
        old = self.path
        self.save(
            states.StoreState(
                directory=self.state.directory + 1,
                indexes={
                    name: _next_generation(index) for name, index in self.state.indexes.items()
                },
            )
        )
        # Files that cannot be deleted only use disk: their number is not used again.
        shutil.rmtree(old, ignore_errors=True)

    def vectors(self, name: str, dimension: int, metric: Metric) -> VectorCollection:
        """Return the open collection of an index; raise when it has been closed since."""
        self.require_ownership()
        collection = self._open.get(name)
        if collection is None or (collection.dimension, collection.metric) != (dimension, metric):
            raise VectorIndexError(
                f"index {name!r} was closed, dropped or opened with another shape.",
                hint="Open it again from the store.",
            )
        return collection

    def open(self, name: str, dimension: int, metric: Metric) -> None:
        """Open the collection of an index, a new and empty one if it may be damaged."""
        self.require_ownership()
        with self.guard:
            if self._failed:
                self._stop()
            client = self.client()
            collection = self._open.get(name)
            shape = (dimension, metric)
            if collection is None or (collection.dimension, collection.metric) != shape:
                reopened = self._reopen(client, name, dimension, metric)
                if reopened is None:
                    self.recreate(name, dimension, metric)
                else:
                    self._open[name] = reopened

    def mark_failed(self, name: str, *, damaged: bool) -> None:
        """Record that an operation on an index has failed, so that it is examined when opened."""
        with self.guard:
            self._failed.add(name)
            index = self.state.indexes.get(name)
            if index is None:
                return
            watermark = -1 if damaged else index.watermark
            suspect = replace(index, dirty=True, watermark=watermark)
            # If this fails, too, the fingerprint differs when the directory is next opened.
            with suppress(VectorIndexError):
                self.save(self.state.with_index(name, suspect))

    def failed(self, name: str) -> bool:
        """Return whether an operation on an index failed since it was opened."""
        return name in self._failed

    def mark_dirty(self, name: str) -> None:
        """Record, before the first write after a watermark, that an index is being written."""
        index = self.state.indexes[name]
        if not index.dirty:
            self.save(self.state.with_index(name, replace(index, dirty=True)))

    def save_watermark(self, name: str, watermark: int, count: int) -> None:
        """Record that an index is complete up to a commit and its writes have returned."""
        index = replace(self.state.indexes[name], watermark=watermark, count=count, dirty=False)
        files = states.fingerprint(self.path)
        self.save(replace(self.state.with_index(name, index), files=files))

    def _save_clean(self) -> None:
        """Record that all writes have returned, except on indexes where one failed."""
        if self._client is None:
            return
        indexes = dict(self.state.indexes)
        for name, collection in self._open.items():
            if name not in self._failed and name in indexes:
                indexes[name] = replace(indexes[name], dirty=False, count=collection.count())
        self.save(replace(self.state, indexes=indexes, files=states.fingerprint(self.path)))

    def _reopen(
        self, client: ClientAPI, name: str, dimension: int, metric: Metric
    ) -> VectorCollection | None:
        """Return the existing collection of an index, None if it is not as the state says."""
        index = self.state.indexes.get(name)
        if index is None or (index.dimension, index.metric) != (dimension, metric):
            return None
        try:
            with translate_errors(f"index {name!r}", "be opened"):
                stored = client.get_collection(
                    collection_name(name, index.generation), embedding_function=None
                )
            collection = VectorCollection(name, stored, dimension, metric)
            count = collection.count()
        except VectorIndexError:
            return None
        if index.watermark < 0:
            return collection if count == 0 else None
        return collection if index.dirty or index.count == count else None

    def recreate(self, name: str, dimension: int, metric: Metric) -> None:
        """Create an empty collection for an index, of a new generation."""
        client = self.client()
        old = self.state.indexes.get(name)
        last = old.generation if old else 0
        stored, generation = create_collection(
            client, name, metric, graph=self.graph, last_generation=last
        )
        index = states.IndexState(dimension=dimension, metric=metric, generation=generation)
        # Before the old collection is deleted: should that crash, it is not tried again.
        self.save(self.state.with_index(name, index))
        self._open[name] = VectorCollection(name, stored, dimension, metric)
        self._failed.discard(name)
        if old is not None:
            self._delete_collection(collection_name(name, old.generation))

    def drop(self, name: str) -> None:
        """Remove an index and its collection."""
        self.require_ownership()
        with self.guard:
            self.client()
            self._open.pop(name, None)
            self._failed.discard(name)
            old = self.state.indexes.get(name)
            if old is not None:
                self.save(self.state.without_index(name))
                self._delete_collection(collection_name(name, old.generation))

    def _delete_collection(self, collection: str) -> None:
        # One that cannot be deleted is never opened again.
        with suppress(VectorIndexError), translate_errors(collection, "be deleted"):
            self.client().delete_collection(collection)
        if not any(index.dirty for index in self.state.indexes.values()):
            self.save(replace(self.state, files=states.fingerprint(self.path)))

    def _stop(self) -> None:
        client, self._client = self._client, None
        self._open.clear()
        self._failed.clear()
        if client is not None:
            with suppress(VectorIndexError), translate_errors(f"{self.root}", "be closed"):
                client.close()

    def _release(self) -> None:
        self._stop()
        self._lock.release()
        self._owned = False

    def close(self) -> None:
        """Release the directory, and record that it is intact."""
        if self.pid != os.getpid():
            return
        with self.guard:
            self._closed = True
            if not self._owned:
                return
            if self._lock.valid():
                # If this fails, the directory is examined when it is next opened.
                with suppress(VectorIndexError):
                    self._save_clean()
            self._release()


def _next_generation(index: states.IndexState) -> states.IndexState:
    return states.IndexState(index.dimension, index.metric, index.generation + 1)


def _state_after(root: Path) -> states.StoreState:
    """Return an empty state with a new Chroma directory, after all that exist; delete those."""
    matches = (_DIRECTORY_NAME.fullmatch(entry.name) for entry in root.iterdir())
    numbers = [int(match[1]) for match in matches if match]
    for number in numbers:
        shutil.rmtree(root / f"chroma-{number}", ignore_errors=True)
    return states.StoreState(directory=max(numbers, default=0) + 1)
