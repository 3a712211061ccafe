"""Multimodal AI work that feels like a dataframe.

One table holds text, images, documents, audio, video, vectors and model outputs; you say what
each column is, as an Ibis expression, and barbule keeps it computed, incremental, versioned and
searchable.

Names are loaded when they are first used: `import barbule` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from barbule import errors, functions
    from barbule.executor.budgets.budget import budget
    from barbule.executor.ledger.recording import record, replay
    from barbule.functions.language_models.tool_calls import invoke_tools
    from barbule.functions.language_models.tools import tool, tools
    from barbule.functions.uda import uda
    from barbule.functions.udf import iterator, query, udf
    from barbule.session import Session, connect
    from barbule.tables.table import Table
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

__version__ = "0.1.0"

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

_PLACES = {
    **dict.fromkeys(_TYPES, "barbule.types"),
    "BarbuleError": "barbule.errors",
    "InsertResult": "barbule.tables.transaction.transaction",
    "ResultSet": "barbule.executor.results.result_set",
    "Session": "barbule.session",
    "Table": "barbule.tables.table",
    "budget": "barbule.executor.budgets.budget",
    "connect": "barbule.session",
    "invoke_tools": "barbule.functions.language_models.tool_calls",
    "iterator": "barbule.functions.udf",
    "query": "barbule.functions.udf",
    "record": "barbule.executor.ledger.recording",
    "replay": "barbule.executor.ledger.recording",
    "tool": "barbule.functions.tools",
    "tools": "barbule.functions.tools",
    "uda": "barbule.functions.uda",
    "udf": "barbule.functions.udf",
}

# Verbs of the default session.
_VERBS = {
    "at",
    "calls",
    "check",
    "collect_media",
    "create_table",
    "create_view",
    "drop_dir",
    "drop_snapshot",
    "drop_table",
    "evict_calls",
    "get_table",
    "list_dirs",
    "list_snapshots",
    "list_tables",
    "read_coco",
    "read_folder",
    "read_huggingface",
    "read_parquet",
    "read_webdataset",
    "snapshot",
}

_MODULES = {"errors", "functions"}

__all__ = sorted({*_PLACES, *_VERBS, *_MODULES})


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        # A type named before anything else is one of columns that have methods.
        importlib.import_module("barbule.functions")
        value = getattr(importlib.import_module(_PLACES[name]), name)
        globals()[name] = value
        return value
    if name in _VERBS:
        from barbule.session import current

        return getattr(current(), name)
    if name in _MODULES:
        return importlib.import_module(f"barbule.{name}")
    from barbule.suggestions import no_attribute

    raise no_attribute("barbule", name, __all__)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
