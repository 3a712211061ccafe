"""Nodes that read companion data of a cell: its error, and the content of its media file.

Owns their data types; how they are read from companion columns is planned later.
"""

from __future__ import annotations

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.rules as rlz

__all__ = ["CELL_ERROR_TYPE", "MEDIA_CONTENT_TYPE", "CellError", "Recorded"]

CELL_ERROR_TYPE = dt.Struct({"type": dt.string, "message": dt.string})
MEDIA_CONTENT_TYPE = dt.Struct({"sha256": dt.string, "size": dt.int64})


class CellError(ops.Value):
    """The error of a cell: the one that a function raised for it.

    Parameters
    ----------
    arg
        A call, while columns are computed; otherwise a computed column, or a value derived from it
        without change.
    """

    arg: ops.Value

    dtype = CELL_ERROR_TYPE
    shape = rlz.shape_like("arg")


class Recorded(ops.Value):
    """The hash and size of the content of a media file, recorded when its cell was written.

    Parameters
    ----------
    arg
        A media column, or a value derived from it without change.
    """

    arg: ops.Value

    dtype = MEDIA_CONTENT_TYPE
    shape = rlz.shape_like("arg")
