"""Multimodal AI work that feels like a dataframe.

One table holds text, images, documents, audio, video, vectors and model outputs. You define each
computed column as an Ibis expression, and barbule keeps it computed, incremental, versioned and
searchable.

Names are loaded on first use: `import barbule` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barbule import errors, functions
    from barbule.errors import BarbuleError
    from barbule.executor.budgets.budget import budget
    from barbule.executor.ledger.recording import record, replay
    from barbule.executor.results.result_set import ResultSet
    from barbule.functions.iterators import iterator
    from barbule.functions.language_models.tool_calls import invoke_tools
    from barbule.functions.language_models.tools import tool, tools
    from barbule.functions.queries import query
    from barbule.functions.uda import uda
    from barbule.functions.udf import udf
    from barbule.session import Session, connect, current
    from barbule.tables.table import Table
    from barbule.tables.transaction.results import InsertResult
    from barbule.tracing import trace
    from barbule.types import (
        UUID,
        Array,
        ArrayType,
        Audio,
        Binary,
        Bool,
        Date,
        Document,
        Duration,
        Float,
        Image,
        Int,
        Json,
        String,
        Struct,
        Time,
        Timestamp,
        Vector,
        Video,
    )

    # The verbs are methods of the default session: type checkers see their signatures.
    _session = current()
    at = _session.at
    calls = _session.calls
    check = _session.check
    collect_media = _session.collect_media
    create_table = _session.create_table
    create_view = _session.create_view
    drop_dir = _session.drop_dir
    drop_snapshot = _session.drop_snapshot
    drop_table = _session.drop_table
    evict_calls = _session.evict_calls
    get_table = _session.get_table
    list_dirs = _session.list_dirs
    list_snapshots = _session.list_snapshots
    list_tables = _session.list_tables
    read_coco = _session.read_coco
    read_folder = _session.read_folder
    read_huggingface = _session.read_huggingface
    read_parquet = _session.read_parquet
    read_webdataset = _session.read_webdataset
    snapshot = _session.snapshot

__version__ = "0.1.0"

__all__ = [
    "UUID",
    "Array",
    "ArrayType",
    "Audio",
    "BarbuleError",
    "Binary",
    "Bool",
    "Date",
    "Document",
    "Duration",
    "Float",
    "Image",
    "InsertResult",
    "Int",
    "Json",
    "ResultSet",
    "Session",
    "String",
    "Struct",
    "Table",
    "Time",
    "Timestamp",
    "Vector",
    "Video",
    "at",
    "budget",
    "calls",
    "check",
    "collect_media",
    "connect",
    "create_table",
    "create_view",
    "drop_dir",
    "drop_snapshot",
    "drop_table",
    "errors",
    "evict_calls",
    "functions",
    "get_table",
    "invoke_tools",
    "iterator",
    "list_dirs",
    "list_snapshots",
    "list_tables",
    "query",
    "read_coco",
    "read_folder",
    "read_huggingface",
    "read_parquet",
    "read_webdataset",
    "record",
    "replay",
    "snapshot",
    "tool",
    "tools",
    "trace",
    "uda",
    "udf",
]

_SUBMODULES = {"errors", "functions"}

_TYPES = [
    "UUID",
    "Array",
    "ArrayType",
    "Audio",
    "Binary",
    "Bool",
    "Date",
    "Document",
    "Duration",
    "Float",
    "Image",
    "Int",
    "Json",
    "String",
    "Struct",
    "Time",
    "Timestamp",
    "Vector",
    "Video",
]

# All other names are verbs of the default session.
_DEFINING_MODULES = {
    **dict.fromkeys(_TYPES, "barbule.types"),
    "BarbuleError": "barbule.errors",
    "InsertResult": "barbule.tables.transaction.results",
    "ResultSet": "barbule.executor.results.result_set",
    "Session": "barbule.session",
    "Table": "barbule.tables.table",
    "budget": "barbule.executor.budgets.budget",
    "connect": "barbule.session",
    "invoke_tools": "barbule.functions.language_models.tool_calls",
    "iterator": "barbule.functions.iterators",
    "query": "barbule.functions.queries",
    "record": "barbule.executor.ledger.recording",
    "replay": "barbule.executor.ledger.recording",
    "tool": "barbule.functions.language_models.tools",
    "tools": "barbule.functions.language_models.tools",
    "trace": "barbule.tracing",
    "uda": "barbule.functions.uda",
    "udf": "barbule.functions.udf",
}


def _load(name: str) -> object:
    """Return a name of the package on first use."""
    if name in _DEFINING_MODULES:
        # A type that is used before any other name needs the column methods to be registered.
        importlib.import_module("barbule.functions")
        value: object = getattr(importlib.import_module(_DEFINING_MODULES[name]), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        return importlib.import_module(f"barbule.{name}")
    if name in __all__:
        from barbule.session import current

        return getattr(current(), name)
    from barbule.suggestions import no_attribute

    raise no_attribute("barbule", name, __all__)


if not TYPE_CHECKING:  # Type checkers know the names from the imports above.
    __getattr__ = _load


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
