"""Sessions: an open database with its media, vectors and models, and the default one.

Owns what is opened and closed together. The default session is the only state of the process
beside the function registry.
"""

from __future__ import annotations

import atexit
import os
import threading
import warnings
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NoReturn, Self, overload

from barbule.backends.base import is_persistent, open_backend
from barbule.config import (
    ProviderSettings,
    Settings,
    checked_timezone,
    load_settings,
    redact,
)
from barbule.errors import ConfigurationError, TableNotFoundError, unpicklable
from barbule.executor.engine import Engine
from barbule.media.library import MediaLibrary
from barbule.models.base import Endpoint
from barbule.models.litellm.client import LiteLLMClient
from barbule.suggestions import check_arguments, check_methods, one_of
from barbule.tables.table import Table
from barbule.tables.transaction import media_references
from barbule.tables.transaction.names import IF_NOT_EXISTS, check_policy
from barbule.tables.verbs import check, create_drop, snapshots

if TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping

    import ibis.expr.types as ir

    from barbule.functions.registry import OnError
    from barbule.io.lazy_rows import Rows
    from barbule.relations import Query
    from barbule.tables.transaction.media_references import CollectedMedia
    from barbule.tables.transaction.names import IfExists, IfNotExists
    from barbule.tables.verbs.check import CheckResult
    from barbule.tables.verbs.snapshots import Snapshot

__all__ = ["Session", "connect", "current"]


@check_methods
class Session:
    """An open database with its media, vectors and models.

    Made by `connect`. Every function of the module is a method of it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opened_by = os.getpid()
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
                api_base=given.api_base,
                api_key_env=given.api_key_env,
                max_concurrency=given.max_concurrency,
                rpm=given.rpm,
                tpm=given.tpm,
                timeout=given.timeout,
            )
            for name, given in settings.models.items()
        }
        backend = open_backend(settings.backend, settings.lock_timeout, settings.home)
        client = LiteLLMClient(endpoints)
        try:
            self._engine = Engine(backend, library, client, settings.vectors, Table, settings)
        except BaseException:
            backend.disconnect()  # another attempt opens what is there by then
            raise

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise unpicklable("a session")

    def __barbule_identity__(self) -> str:
        """Tell the database from others, for functions that close over it."""
        return self._engine.__barbule_identity__()

    def __repr__(self) -> str:
        return f"<barbule session on {redact(self.settings.backend)}>"

    @property
    def ibis(self) -> Any:
        """The Ibis backend below, for anything that Ibis does."""
        return self._engine.backend.ibis

    def create_table(
        self,
        name: str,
        schema: Any,
        *,
        if_exists: IfExists = "error",
        mode: str = "versioned",
        defaults: Mapping[str, Any] | None = None,
        media_validation: str | Mapping[str, str] | None = None,
    ) -> Table:
        """Make a table.

        Parameters
        ----------
        name
            Dots separate folders: "docs.reports".
        schema
            A mapping of column names to types (of barbule, Ibis or Python), an `ibis.Schema`,
            a pydantic model or a dataclass, whose fields' defaults are the columns'. Or data,
            whose types are found and which is inserted in the same version: a list of mappings
            or objects, a pandas or polars data frame, an Arrow table or reader, an Ibis table.
        if_exists
            "error", "ignore" (return the one that is there), "replace", or "replace_force"
            (with the views that depend on it).
        mode
            Every table is versioned; the argument is accepted for readers who expect to say so.
        defaults
            Values, by column, of cells that an insert leaves out.
        media_validation
            When media are looked at: "on_write", so that no bad file gets into the table, or
            "on_read", so that nothing is fetched or opened before; for all columns, or by
            column. What the configuration says by default.

        Raises
        ------
        TableExistsError
            When the name is taken.
        SchemaError
            When a name or type is wrong, or the type of a column of the data cannot be told.
        DataError
            When a value of the data does not fit; there is no table then.

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
            create_drop.create_table(
                self._engine, name, schema, if_exists, defaults, media_validation
            )
        )
        _warn_of_verbs(table)
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
        """Make a view: rows that are computed from those of a table, and follow it.

        Parameters
        ----------
        query
            Any query; its columns are the view's. Where it filters and projects one table, its
            filters and columns may call functions, which are called for new and changed rows
            alone; a join or aggregate is computed as a whole, and only rows that differ are
            written.
        iterator
            A call that gives many rows for each row: `DocumentSplitter.create(...)`.
        computed_columns
            Expressions by column name, over the columns of the query.
        if_exists
            As for `create_table`.
        on_error
            What becomes of a row for which the iterator fails. "abort": the operation ends, and
            nothing of it is kept. "null": the others go on, and for that row the view has one
            row, whose columns of the iterator are empty; `view.errors()` says why, and
            `view.recompute(errors_only=True)` tries again. By default what the iterator says,
            else "abort".

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
        leaf = create_drop.create_view(
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
            "error", or "ignore" to get None where there is none.

        Raises
        ------
        TableNotFoundError
            When there is none.
        """
        check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
        self._engine.catalog.refresh()
        record = self._engine.catalog.find(name)
        if record is None and if_not_exists == "ignore":
            return None
        if record is None:
            raise TableNotFoundError(
                "there is no table of this name.",
                table=name,
                hint=one_of(str(name), map(repr, self.list_tables()), "There are:"),
            )
        return Table(self._engine.leaf(record.id))

    def list_tables(self, folder: str | None = None) -> list[str]:
        """Return the names of all tables and views, or of those in a folder, sorted."""
        self._engine.catalog.refresh()
        names = [record.name for record in self._engine.catalog.tables()]
        return [name for name in names if folder is None or name.startswith(f"{folder}.")]

    def list_dirs(self, folder: str | None = None) -> list[str]:
        """Return the names of all folders, or of those within one, sorted.

        Folders are made by the names of tables: "docs.reports" is in the folder "docs".
        """
        return create_drop.folders(self._engine, folder)

    def drop_dir(
        self, name: str, *, cascade: bool = False, if_not_exists: IfNotExists = "error"
    ) -> None:
        """Drop a folder.

        Parameters
        ----------
        cascade
            Whether the tables in it are dropped too; otherwise they forbid it.
        """
        create_drop.drop_folder(self._engine, name, cascade=cascade, if_not_exists=if_not_exists)

    def read_folder(
        self,
        pattern: str | os.PathLike[str],
        *,
        kind: Any = None,
        column: str | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> Rows:
        """Read the files of a folder as rows, for `create_table` and `insert`.

        Their content is not read; the media column refers to it. Beside it there are `path`,
        `name`, `size` in bytes, `modified` and `media_type`; and, of a folder, what
        `metadata.jsonl` says of its files, as `to_folder` writes it and Hugging Face's
        ImageFolder has it.

        Parameters
        ----------
        pattern
            A folder (with those below; hidden files are left out), or a pattern:
            "photos/**/*.jpg", "s3://bucket/photos/*.png".
        kind
            `bb.Image`, `bb.Audio`, `bb.Video` or `bb.Document`; by default what all files are
            by their names.
        column
            The name of the media column: "image", "audio", "video" or "document" by default.
        root
            The folder within which links may lead; by default the folder that is read.

        Raises
        ------
        DataError
            When there is no such file, files are of several types, or `metadata.jsonl` is wrong.

        Examples
        --------
        >>> import barbule as bb, pathlib
        >>> pathlib.Path("notes").mkdir()
        >>> _ = pathlib.Path("notes/a.txt").write_text("A barbule hooks.")
        >>> notes = bb.create_table("notes", bb.read_folder("notes/*.txt"))
        >>> notes.collect()[0, "name"], notes.collect()[0, "size"]
        ('a.txt', 16)
        """
        from barbule.io.formats.folder import read_folder

        return read_folder(pattern, kind, column, root)

    def read_webdataset(self, path: str | os.PathLike[str]) -> Rows:
        """Read the samples of WebDataset tar files as rows, one after the other.

        Each kind of member is a column: `0001.jpg` is `jpg`, `0001.image.jpg` is `image`; the
        key of the sample is `key`. Columns are found in the first samples.

        Parameters
        ----------
        path
            A file, a pattern, a URL, or shards: "train-{000..127}.tar".

        Raises
        ------
        DataError
            When a file is missing, cut off or no tar file.
        """
        from barbule.io.formats.webdataset import read_webdataset

        return read_webdataset(path, self._engine.library)

    def read_parquet(
        self, path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None
    ) -> Rows:
        """Read Parquet files in which media are embedded, as Hugging Face's `datasets` does.

        Columns that hold structs of `bytes` and `path` are media; all others are as they are.

        Parameters
        ----------
        path
            A file, a pattern or a URL.
        root
            The folder whose files a `path` without `bytes` may name; by default that of the
            file, to which relative paths belong.

        Raises
        ------
        DataError
            When a file is missing, damaged or no Parquet file; or names files elsewhere.
        """
        from barbule.io.formats.parquet import read_parquet

        return read_parquet(path, self._engine.library, root)

    def read_huggingface(self, dataset: Any) -> Rows:
        """Read a data set of Hugging Face's `datasets` as rows; tables take it as it is, too.

        Images, sounds and videos are media columns, classes are their names; a `DatasetDict` has
        the column `split`.

        Parameters
        ----------
        dataset
            A `Dataset`, `IterableDataset`, `DatasetDict` or `IterableDatasetDict`.
        """
        from barbule.io.formats.huggingface import read_huggingface

        return read_huggingface(dataset)

    def read_coco(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        root: str | os.PathLike[str] | None = None,
    ) -> Rows:
        """Read a COCO data set as rows, one for each image.

        Columns are `image`, `id`, `file_name`, `width`, `height` and `boxes`: a list of structs
        with `label`, `x`, `y`, `width`, `height`, `area`, `iscrowd` and `segmentation` (JSON).

        Parameters
        ----------
        annotations
            The JSON file.
        images
            The folder of the images; that of the file by default.
        root
            The folder within which links may lead; by default that of the images.
        """
        from barbule.io.formats.coco import read_coco

        return read_coco(annotations, images, root)

    def snapshot(self, name: str, *, if_exists: IfExists = "error") -> Snapshot:
        """Give the state of all tables, views and indexes at this moment a name.

        Parameters
        ----------
        if_exists
            "error", "ignore" (return the one that is there) or "replace".

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"name": bb.String})
        >>> release = bb.snapshot("release-1")
        >>> _ = films.insert(name="Up")
        >>> bb.at("release-1").get_table("films").count().to_pyarrow().as_py()
        0
        """
        return snapshots.take(self._engine, name, if_exists)

    def at(self, moment: str | datetime.datetime) -> Snapshot:
        """Return all tables as they were in a snapshot, or at a moment."""
        return snapshots.look(self._engine, moment)

    def list_snapshots(self) -> list[str]:
        """Return the names of all snapshots, oldest first."""
        return snapshots.names(self._engine)

    def drop_snapshot(self, name: str, *, if_not_exists: IfNotExists = "error") -> None:
        """Forget a snapshot; what only it holds is dropped."""
        snapshots.drop(self._engine, name, if_not_exists)

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
            Whether views that depend on it are dropped too; otherwise they forbid it. So does a
            column of another table whose `@bb.query` reads it, as far as this process defines
            that; with `cascade=True` the column stays, with what it holds.
        """
        check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
        create_drop.drop(self._engine, name, cascade=cascade, if_not_exists=if_not_exists)

    def calls(self) -> Query:
        """Return the call ledger as a table: one row for each question that was asked.

        Examples
        --------
        >>> import barbule as bb
        >>> bb.calls().count().to_pyarrow().as_py()
        0
        """
        return self._engine.calls()

    def evict_calls(
        self,
        *,
        older_than: datetime.timedelta | None = None,
        max_bytes: int | None = None,
    ) -> int:
        """Drop answers from the call ledger; the same questions are asked again then.

        Values of tables stay as they are.

        Parameters
        ----------
        older_than
            The age from which answers are dropped.
        max_bytes
            Where all answers take more, the oldest are dropped.

        Returns
        -------
        int
            How many questions were dropped.

        Examples
        --------
        >>> import barbule as bb, datetime
        >>> bb.evict_calls(older_than=datetime.timedelta(days=90), max_bytes=10**9)
        0
        """
        return self._engine.ledger.evict(older_than, max_bytes)

    def collect_media(
        self,
        *,
        grace: datetime.timedelta | None = None,
        dry_run: bool = False,
        shared: bool = False,
    ) -> CollectedMedia:
        """Delete the files of the media store to which nothing refers any more.

        What any version, label, snapshot, branch or answer of the call ledger holds stays; so do
        files that were given by path or URL, which are not in the store. `compact()`,
        `drop_table()` and `evict_calls()` make garbage, this removes it. It may be interrupted
        and run again, and others may write meanwhile.

        Parameters
        ----------
        grace
            What has been stored more recently than this stays, as somebody may be about to
            commit it: longer than the longest insert takes. A day by default.
        dry_run
            Whether to say only what would be deleted.
        shared
            Whether to go on although other databases have put files into the same store: theirs
            are deleted too.

        Returns
        -------
        CollectedMedia
            The number of files, and their bytes.

        Raises
        ------
        UnsupportedError
            When other databases keep media in the same store, and `shared` is False.

        Examples
        --------
        >>> import barbule as bb, datetime
        >>> bb.collect_media(grace=datetime.timedelta(hours=1))
        CollectedMedia(files=0, bytes=0, kept=0)
        """
        return media_references.collect(
            self._engine,
            media_references.GRACE if grace is None else grace,
            dry_run=dry_run,
            shared=shared,
        )

    def check(self, *, repair: bool = True) -> CheckResult:
        """Compare all vector indexes with their tables, and look for media that are gone.

        Each file of the media store to which a row refers, of any version, should be there. What
        is in a file is not read: `t.filter(t.img.changed())` does that.

        Parameters
        ----------
        repair
            Whether an index that does not fit is filled anew.

        Returns
        -------
        CheckResult
            What was found and done, by index, and which files are missing, by table; true when all
            is well or was repaired.

        Examples
        --------
        >>> import barbule as bb
        >>> bool(bb.check())
        True
        """
        return check.check(self._engine, repair=repair)

    def close(self) -> None:
        """Close the database and the indexes; tables of the session cannot be used afterwards."""
        global _default  # noqa: PLW0603 - one state of the process
        if self._opened_by != os.getpid():
            return  # a forked child closes nothing of its parent
        with _lock:
            if _default is self:
                _default = None
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _warn_of_verbs(table: Table) -> None:
    shadowed = [name for name in table.columns if hasattr(Table, name)]
    if shadowed:
        names = ", ".join(f"table[{name!r}]" for name in shadowed)
        warnings.warn(
            f"table {table.get_name()!r}: columns with the name of a verb are reached by {names}.",
            UserWarning,
            stacklevel=4,  # the caller of the method, whose arguments are checked
        )


_lock = threading.RLock()
_default: Session | None = None


@check_arguments
def connect(
    backend: str | None = None,
    *,
    vectors: str | None = None,
    media: str | None = None,
    home: str | None = None,
    models: Mapping[str, Mapping[str, Any]] | None = None,
    lock_timeout: float | None = None,
    timezone: str | None = None,
) -> Session:
    """Open a session and make it the default one.

    Without a call of it the first use connects from the configuration. The first verb that uses a
    database makes barbule's own tables in it, `bb_...`, also where another program has made it.

    Parameters
    ----------
    backend
        Where tables, catalog and call ledger live: "duckdb:///data/app.duckdb".
    vectors
        Where vector indexes live: "chroma:///data/vectors", "chroma+http://host:8000", "exact:".
    media
        Where media are kept: any fsspec URL, or a path.
    home
        The folder for what has no other place; ~/.barbule by default.
    models
        Settings of providers by their LiteLLM prefix, as in `[models.<prefix>]` of the
        configuration: `{"openai": {"api_base": "http://localhost:8080/v1"}}`.

    lock_timeout
        How long to wait for another process that uses a DuckDB file, or writes to Postgres, in
        seconds; 60 by default.
    timezone
        The zone of moments that have none where they meet moments with one, "Europe/Berlin" say;
        "UTC" by default. The parts of a moment with a zone are those of the clock there.

    Raises
    ------
    ConfigurationError
        When a key or value is wrong, or the database cannot be opened.
    DiskError
        When its file is damaged or no DuckDB database, or was deleted or replaced while a session
        of this process has it open.
    LockedError
        When another process keeps the database for longer than that.
    """
    global _default  # noqa: PLW0603 - one state of the process
    settings = load_settings(
        backend=backend, vectors=vectors, media=media, home=home, lock_timeout=lock_timeout
    )
    if zone := checked_timezone(timezone, "the argument timezone="):
        settings = replace(settings, timezone=zone)
    if models:
        settings = replace(settings, models={**settings.models, **_providers(models)})
    with _lock:
        opened = Session(settings)  # if that fails, the session before it goes on
        if _default is not None:
            _default.close()
        _default = opened
        return _default


def _providers(models: Mapping[str, Mapping[str, Any]]) -> dict[str, ProviderSettings]:
    allowed = [field.name for field in fields(ProviderSettings)]
    for name, given in models.items():
        for key in given:
            if key not in allowed:
                raise ConfigurationError(
                    f"models[{name!r}] has no setting {key!r}.",
                    hint=f"It takes {', '.join(allowed)}; a key is named by api_key_env.",
                )
    return {name: ProviderSettings(**given) for name, given in models.items()}


def current() -> Session:
    """Return the default session, opened if it is not; a forked child opens its own."""
    global _default  # noqa: PLW0603 - one state of the process
    with _lock:
        if _default is None:
            return connect()
        if _default._opened_by != os.getpid():
            _inherited.append(_default)
            _default = _reopened(_default)
        return _default


# Sessions of the parent of a forked process: to drop one would close its connections.
_inherited: list[Session] = []


def _reopened(parents: Session) -> Session:
    """Open in a forked child what the default session of its parent has open."""
    if not is_persistent(parents.settings.backend):
        raise ConfigurationError(
            f"the database of the process {parents._opened_by}, from which this one was forked, "
            "is in its memory.",
            hint="Connect to a file or a server before forking, or by bb.connect(...) here.",
        )
    return Session(parents.settings)


def _renew_lock() -> None:
    """Give a forked child a lock of its own: that of its parent may be held by a lost thread."""
    global _lock  # noqa: PLW0603 - one state of the process
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@atexit.register
def _close_at_exit() -> None:
    with _lock:
        if _default is not None:
            _default.close()
