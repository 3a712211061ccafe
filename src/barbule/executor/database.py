"""The parts of one open database, which all of its operations share.

Owns how they are opened and closed. An `Engine` answers with them for one operation.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from barbule.catalog.derivations import Derivations
from barbule.catalog.store import Catalog
from barbule.executor.budgets.budget import Budget
from barbule.executor.calls.caller import Caller
from barbule.executor.calls.operation import Operation
from barbule.executor.calls.resources import CallResources
from barbule.executor.concurrency.event_loop import LoopThread
from barbule.executor.ledger.call_ledger import CallLedger
from barbule.executor.search.filter_cache import FilterCache
from barbule.executor.search.index_sync import IndexSync
from barbule.executor.search.keyword_scores import KeywordScores
from barbule.executor.search.nearest_rows import NearestRows
from barbule.indexes.base import Graph
from barbule.locks import Claims
from barbule.planner.plan_cache import PlanCache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import ibis.expr.operations as ops
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.backends.base import Backend
    from barbule.config import Settings
    from barbule.media.library import MediaLibrary
    from barbule.models.base import ModelClient
    from barbule.nodes import ManagedTable

    RunQueries = Callable[[Sequence[ir.Expr], Operation], list[object]]

__all__ = ["Database"]


class Database:
    """An open database: its storage, catalog, ledger, media, indexes and models.

    Parameters
    ----------
    backend
        Stores tables.
    library
        Opens and stores media.
    client
        Calls models.
    table_class
        Creates the table that users see from a leaf.
    run_queries
        Runs the queries that functions return.

    Attributes
    ----------
    catalog
        The committed state of the tables.
    derivations
        What follows from the structure of the tables.
    plans
        The plans of former searches.
    """

    def __init__(
        self,
        backend: Backend,
        library: MediaLibrary,
        client: ModelClient,
        settings: Settings,
        table_class: Callable[[ManagedTable], ir.Table],
        run_queries: RunQueries,
    ) -> None:
        self.backend = backend
        self.library = library
        self.zone = settings.timezone
        self.table_class = table_class
        self.catalog = Catalog(backend)
        self.derivations = Derivations(self.catalog)
        self.plans = PlanCache()
        self.ledger = CallLedger(
            backend.separate(), settings.ledger.max_age, settings.ledger.max_bytes
        )
        library.deletions = lambda: self.catalog.media_deletion
        library.isolation.former_readers = lambda: self.catalog.metadata.identity.readers
        search = settings.search
        graph = Graph(search.m, search.ef_construction, search.ef_search)
        self.indexing = IndexSync(settings.vectors, backend, self.catalog, graph)
        self.nearest = NearestRows(backend, self.catalog, self.indexing, search.max_matrix_bytes)
        self.keywords = KeywordScores(backend)
        self.filters = FilterCache(
            self.catalog, self._first_column, is_single_writer=not backend.many_writers
        )
        self._loop = LoopThread()
        self._budget = Budget.of_session(settings.budget)
        self.caller = Caller(
            self.ledger,
            CallResources(library, client, self._loop, run_queries),
            _call_claims(settings),
            has_former_keys=self.catalog.metadata.identity.former_keys,
        )

    def begin(self) -> Operation:
        """Begin an operation within the budgets and the recording of the calling code."""
        return Operation.begin(self.library, self._budget)

    def close(self) -> None:
        """Close indexes, loop and connections."""
        self._loop.stop()
        self.caller.close()
        self.indexing.close()
        self.nearest.clear()
        self.filters.clear()
        self.ledger.close()
        self.backend.disconnect()

    def _first_column(self, rows: ops.Relation) -> pa.Array:
        """Read the first column of stored rows."""
        return self.backend.arrow(rows.to_expr(), {}).column(0).combine_chunks()


def _call_claims(settings: Settings) -> Claims | None:
    """Return the claims for calls of processes that share a database."""
    url = urlsplit(settings.backend)
    if url.scheme == "duckdb":
        file = Path(url.path)
        return Claims(file.with_name(f"{file.name}.asking")) if file.name else None
    name = hashlib.sha256(settings.backend.encode()).hexdigest()[:16]
    return Claims(settings.home / "asking" / name)
