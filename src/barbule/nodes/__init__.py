"""The operations that barbule adds to Ibis.

Owns the node classes: leaves of managed tables, calls of functions, searches, and companion data of
cells. A node defines *what* is computed; the planner and the executor decide how it runs. No
compiler of Ibis ever sees these nodes: the planner replaces each of them first.
"""

from __future__ import annotations

from barbule.nodes.call_templates import INNER_CALL, bind_arguments, fill_template
from barbule.nodes.cells import CELL_ERROR_TYPE, MEDIA_CONTENT_TYPE, CellError, Recorded
from barbule.nodes.function_call import FunctionCall, build_call
from barbule.nodes.media_literals import image_literal, media_literal
from barbule.nodes.searches import (
    KeywordScore,
    NearestRows,
    RerankedScore,
    RowRank,
    ScoreRank,
    Similarity,
    StoredVector,
    TableScore,
    VectorLiteral,
)
from barbule.nodes.table_leaves import CachedRows, ManagedTable, SystemTable, managed_table

__all__ = [
    "CALLING_NODES",
    "CELL_ERROR_TYPE",
    "INNER_CALL",
    "MEDIA_CONTENT_TYPE",
    "CachedRows",
    "CellError",
    "FunctionCall",
    "KeywordScore",
    "ManagedTable",
    "NearestRows",
    "Recorded",
    "RerankedScore",
    "RowRank",
    "ScoreRank",
    "Similarity",
    "StoredVector",
    "SystemTable",
    "TableScore",
    "VectorLiteral",
    "bind_arguments",
    "build_call",
    "fill_template",
    "image_literal",
    "managed_table",
    "media_literal",
]

# Nodes that may call a function or a model when they are computed.
CALLING_NODES = (FunctionCall, NearestRows, Similarity)
