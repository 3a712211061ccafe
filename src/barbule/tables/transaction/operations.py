"""The beginning of an operation: its engine, and the removal of what it has stored if it fails."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.errors import ConfigurationError, DiskError, StoreError
from barbule.tables.transaction.media_references import MEDIA_PREFIX, delete_unreferenced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.executor.engine import Engine
    from barbule.media.storage.undo_log import OperationObjects

__all__ = ["operating"]

_LOG = logging.getLogger("barbule")


@contextmanager
def operating(engine: Engine) -> Iterator[tuple[Engine, OperationObjects]]:
    """Begin an operation; yield its engine, and what it puts into the media store.

    If it fails, the objects that it has stored are deleted. Existing objects, and those that
    another operation relies on, remain. An engine that has an operation is yielded as it is.
    """
    if engine.operation is not None and engine.library.objects is not None:
        yield engine, engine.library.objects
        return
    first_commit = engine.catalog.head

    def take_back(names: list[str]) -> None:
        try:
            delete_unreferenced(
                engine, (f"{MEDIA_PREFIX}{name}" for name in names), since=first_commit
            )
        except (ConfigurationError, DiskError, StoreError) as error:
            _LOG.warning("media files of a failed change remain until collect_media(): %s", error)
        except Exception:  # noqa: BLE001 - what made the operation fail is what its caller has to know
            _LOG.warning(
                "media files of a failed change remain until collect_media()", exc_info=True
            )

    with engine.library.undo.rollback_on_error(take_back) as objects:
        operation = replace(engine.database.begin(), library=engine.library.during(objects))
        yield engine.during(operation), objects
