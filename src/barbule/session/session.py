"""A session: an open database with its media files, vectors and models.

Opens and closes them together, and holds the verbs that create, find and drop tables.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, NoReturn, Self, SupportsIndex, overload

from barbule.backends.opening import is_persistent, open_backend
from barbule.config import (
    Settings,
    redact,
)
from barbule.errors import TableNotFoundError, unpicklable
from barbule.executor.engine import Engine
from barbule.media.library import MediaLibrary
from barbule.models.base import Endpoint
from barbule.models.litellm.client import LiteLLMClient
from barbule.session.data_sets import DataSetReaders
from barbule.session.maintenance import Maintenance
from barbule.suggestions import check_methods, did_you_mean
from barbule.tables.table import Table
from barbule.tables.transaction.names import IF_NOT_EXISTS, check_policy
from barbule.tables.verbs import drop
from barbule.tables.verbs.create_table import create_table
from barbule.tables.verbs.create_view import create_view
from barbule.tables.verbs.versions import snapshots

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Mapping

    import ibis.expr.types as ir
    from ibis.backends import BaseBackend

    from barbule.functions.function import OnError
    from barbule.tables.arguments import IfExists, IfNotExists
    from barbule.tables.verbs.versions.snapshots import Snapshot

__all__ = ["Session"]


@check_methods
class Session(DataSetReaders, Maintenance):
    """An open database with its media files, vectors and models.

    Created by `connect`. Every function of the module is a method of the session.

    Parameters
    ----------
    settings
        What is opened, and how.
    on_close
        Called with the session when it is closed, before its database is closed.
    """

    def __init__(
        self, settings: Settings, *, on_close: Callable[[Session], None] | None = None
    ) -> None:
        self.settings = settings
        self.opened_by = os.getpid()
        self._on_close = on_close
        library = MediaLibrary(
            settings.media,
            settings.home / "cache",
            settings.media_options,
            user=redact(settings.backend) if is_persistent(settings.backend) else None,
            zone=settings.timezone,
        )
        endpoints = {
            name: Endpoint(
                provider=name,
                api_base=provider.api_base,
                api_key_env=provider.api_key_env,
                max_concurrency=provider.max_concurrency,
                rpm=provider.rpm,
                tpm=provider.tpm,
                timeout=provider.timeout,
            )
            for name, provider in settings.models.items()
        }
        backend = open_backend(settings.backend, settings.lock_timeout, settings.home)
        client = LiteLLMClient(endpoints)
        try:
            self._engine = Engine.open(backend, library, client, settings, Table)
        except BaseException:
            backend.disconnect()  # another attempt reopens the database
            raise

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise unpicklable("a session")

    def __barbule_identity__(self) -> str:
        """Identify the database, for the versions of functions that close over it."""
        return self._engine.__barbule_identity__()

    def __repr__(self) -> str:
        return f"<barbule session on {redact(self.settings.backend)}>"

    @property
    def ibis(self) -> BaseBackend:
        """The Ibis backend of the database, for any Ibis operation."""
        return self._engine.backend.ibis

    def create_table(
        self,
        name: str,
        schema: object,
        *,
        if_exists: IfExists = "error",
        mode: str = "versioned",
        defaults: Mapping[str, Any] | None = None,
        media_validation: str | Mapping[str, str] | None = None,
    ) -> Table:
        """Create a table.

        Parameters
        ----------
        name
            Dots separate folders: "docs.reports".
        schema
            A mapping of column names to types (of barbule, Ibis or Python), an `ibis.Schema`, a
            pydantic model or a dataclass; defaults of its fields become defaults of the columns. Or
            data: the types are inferred, and the data is inserted in the same version. Data is a
            list of mappings or objects, a pandas or polars data frame, an Arrow table or reader, or
            an Ibis table.
        if_exists
            "error", "ignore" (return the existing table), "replace", or "replace_force" (also drop
            the views that depend on it).
        mode
            Every table is versioned; the argument is accepted for explicitness.
        defaults
            Default values by column, for cells that an insert omits.
        media_validation
            When media files are validated: "on_write", so that no invalid file gets into the table,
            or "on_read", so that nothing is downloaded or opened before; for all columns, or by
            column. By default the setting of the configuration.

        Raises
        ------
        TableExistsError
            If the name is taken.
        SchemaError
            If a name or type is invalid, or the type of a column of the data cannot be inferred.
        DataError
            If a value of the data does not fit; the table is not created.

        Examples
        --------
        >>> import barbule as bb
        >>> bb.create_table("films", {"name": bb.String, "revenue": bb.Float}).columns
        ('name', 'revenue')
        >>> bb.create_table("years", [{"name": "Up", "year": 2009}]).count().to_pyarrow().as_py()
        1
        """
        check_policy(mode, ("versioned",), "mode")
        table = Table(
            create_table(self._engine, name, schema, if_exists, defaults, media_validation)
        )
        _warn_of_shadowed_columns(table)
        return table

    def create_view(
        self,
        name: str,
        query: ir.Table,
        *,
        iterator: Any = None,
        computed_columns: Mapping[str, Any] | None = None,
        if_exists: IfExists = "error",
        on_error: OnError | None = None,
    ) -> Table:
        """Create a view: rows that are computed from those of a table and kept up to date.

        Parameters
        ----------
        query
            Any query; its columns become the columns of the view. If it filters and projects one
            table, its filters and columns may call functions, which run only for new and changed
            rows. A join or aggregate is recomputed in full, and only the rows that differ are
            written.
        iterator
            A call that returns several rows for each row: `DocumentSplitter.create(...)`.
        computed_columns
            Expressions by column name, over the columns of the query.
        if_exists
            As for `create_table`.
        on_error
            The error policy for a row for which the iterator fails. "abort": the operation ends and
            is rolled back. "null": the other rows continue, and for the failed row the view has one
            row whose iterator columns are NULL; `view.errors()` shows the reason, and
            `view.recompute(errors_only=True)` retries. By default the iterator's own policy,
            otherwise "abort".

        Examples
        --------
        >>> import barbule as bb
        >>> @bb.iterator(return_type={"half": int})
        ... def halves(number: int):
        ...     if number % 2:
        ...         raise ValueError("it is odd")
        ...     yield from ({"half": number // 2} for _ in range(2))
        >>> numbers = bb.create_table("numbers", [{"n": 2}, {"n": 3}])
        >>> parts = bb.create_view("parts", numbers, iterator=halves(numbers.n), on_error="null")
        >>> parts.order_by("n", "pos").select("n", "pos", "half").collect()[2]
        {'n': 3, 'pos': None, 'half': None}
        >>> parts.errors().collect()["message"]
        ['it is odd']
        """
        leaf = create_view(
            self._engine,
            name,
            query,
            iterator=iterator,
            computed_columns=computed_columns,
            if_exists=if_exists,
            on_error=on_error,
        )
        return Table(leaf)

    @overload
    def get_table(self, name: str) -> Table: ...

    @overload
    def get_table(self, name: str, *, if_not_exists: IfNotExists) -> Table | None: ...

    def get_table(self, name: str, *, if_not_exists: IfNotExists = "error") -> Table | None:
        """Return a table or view by name.

        Parameters
        ----------
        if_not_exists
            "error", or "ignore" to return None if there is none.

        Raises
        ------
        TableNotFoundError
            If there is none.
        """
        check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
        self._engine.catalog.refresh()
        record = self._engine.catalog.find(name)
        if record is None and if_not_exists == "ignore":
            return None
        if record is None:
            tables = self.list_tables()
            names = ", ".join(map(repr, tables)) or "none"
            raise TableNotFoundError(
                "there is no table with this name.",
                table=name,
                hint=f"{did_you_mean(str(name), tables)} There are: {names}.".lstrip(),
            )
        return Table(self._engine.leaf(record.id))

    def list_tables(self, folder: str | None = None) -> list[str]:
        """Return the sorted names of all tables and views, or of those in a folder."""
        self._engine.catalog.refresh()
        names = [record.name for record in self._engine.catalog.tables()]
        return [name for name in names if folder is None or name.startswith(f"{folder}.")]

    def list_dirs(self, folder: str | None = None) -> list[str]:
        """Return the sorted names of all folders, or of those within one.

        Folders follow from the names of tables: "docs.reports" is in the folder "docs".
        """
        return drop.list_folders(self._engine, folder)

    def drop_dir(
        self, name: str, *, cascade: bool = False, if_not_exists: IfNotExists = "error"
    ) -> None:
        """Drop a folder.

        Parameters
        ----------
        cascade
            Whether to drop the tables in it as well; otherwise the folder must be empty.
        """
        drop.drop_folder(self._engine, name, cascade=cascade, if_not_exists=if_not_exists)

    def snapshot(self, name: str, *, if_exists: IfExists = "error") -> Snapshot:
        """Name the current state of all tables, views and indexes.

        Parameters
        ----------
        if_exists
            "error", "ignore" (return the existing snapshot) or "replace".

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"name": bb.String})
        >>> release = bb.snapshot("release-1")
        >>> _ = films.insert(name="Up")
        >>> bb.at("release-1").get_table("films").count().to_pyarrow().as_py()
        0
        """
        return snapshots.create_snapshot(self._engine, name, if_exists)

    def at(self, moment: str | datetime.datetime) -> Snapshot:
        """Return all tables as of a snapshot or a point in time."""
        return snapshots.get_snapshot(self._engine, moment)

    def list_snapshots(self) -> list[str]:
        """Return the names of all snapshots, oldest first."""
        return snapshots.list_snapshots(self._engine)

    def drop_snapshot(self, name: str, *, if_not_exists: IfNotExists = "error") -> None:
        """Delete a snapshot; rows that only it refers to are dropped."""
        snapshots.drop_snapshot(self._engine, name, if_not_exists)

    def drop_table(
        self, name: str | Table, *, if_not_exists: IfNotExists = "error", cascade: bool = False
    ) -> None:
        """Drop a table or view, with its rows, history and indexes.

        Parameters
        ----------
        name
            Its name, or the table itself.
        if_not_exists
            "error" or "ignore".
        cascade
            Whether to drop the views that depend on it as well; otherwise they prevent the drop. So
            does a column of another table whose `@bb.query` reads it, as far as this process
            defines that query; with `cascade=True` that column keeps its values.
        """
        check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
        drop.drop_table(self._engine, name, cascade=cascade, if_not_exists=if_not_exists)

    def close(self) -> None:
        """Close the database and the indexes; tables of the session cannot be used afterwards."""
        if self.opened_by != os.getpid():
            return  # a forked child closes nothing that belongs to its parent
        if self._on_close is not None:
            self._on_close(self)
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _warn_of_shadowed_columns(table: Table) -> None:
    shadowed = [name for name in table.columns if hasattr(Table, name)]
    if shadowed:
        names = ", ".join(f"table[{name!r}]" for name in shadowed)
        warnings.warn(
            f"table {table.get_name()!r}: columns with the same name as a method must be written "
            f"{names}.",
            UserWarning,
            stacklevel=4,  # the caller of the method, whose arguments are checked
        )
