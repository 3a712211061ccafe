"""Copies of a small database, as it was made or after one operation."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from typing import TYPE_CHECKING, Self

from stepping import world
from stepping.elsewhere import opened
from stepping.stepper import outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from servers.postgres import PostgresServer

__all__ = ["Copies"]


class Copies:
    """Copies of the database, each under a URL of its own.

    Parameters
    ----------
    home
        The home folder of all sessions, which contains the files of DuckDB.
    server
        The server on which the copies are schemas; None for DuckDB.
    """

    def __init__(self, home: Path, server: PostgresServer | None) -> None:
        self.home = home
        self._server = server
        self._numbers = itertools.count()
        self._kept = contextlib.ExitStack()
        self._originals: dict[str | None, tuple[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._kept.close()

    def outcome_after(self, operation: str) -> str:
        """Return the outcome of an operation that runs alone."""
        return self._original(operation)[1]

    @contextlib.contextmanager
    def copy(self, after: str | None = None) -> Iterator[str]:
        """Copy the database, as it is after an operation if one is named; yield the URL."""
        with self._database(self._original(after)[0]) as url:
            yield url

    def _original(self, after: str | None) -> tuple[str, str]:
        """Return the URL of the database that is copied, and the outcome that led to it."""
        if after not in self._originals:
            template = None if after is None else self._original(None)[0]
            url = self._kept.enter_context(self._database(template))
            with opened(url, self.home) as session:
                if after is None:
                    world.make(session)
                    outcome = ""
                else:
                    outcome = outcome_of(lambda: world.OPERATIONS[after](session))
            self._originals[after] = url, outcome
        return self._originals[after]

    def _database(self, template: str | None) -> AbstractContextManager[str]:
        if self._server is not None:
            return self._server.schema(template and template.rsplit("=", 1)[1])
        return self._file(template)

    @contextlib.contextmanager
    def _file(self, template: str | None) -> Iterator[str]:
        path = self.home / f"copy{next(self._numbers)}.duckdb"
        if template is not None:
            shutil.copy(template.removeprefix("duckdb://"), path)
        yield f"duckdb://{path}"
        path.unlink()
