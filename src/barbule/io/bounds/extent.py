"""How much the rows of a file may be: in proportion to the file, with room for what is small.

Owns the bounds on values and bytes, and the error that names the file. A column in which one value
stands a billion times takes a few bytes, and so does a page of a billion zeros: who reads a file
counts here what comes of it.
"""

from __future__ import annotations

from barbule.errors import DataError
from barbule.media.archives import is_swollen

__all__ = ["Extent"]

_PLAIN_BYTES = 128 << 20  # of columns, up to which any ratio is honest
_BYTES_PER_BYTE = 200


class Extent:
    """Counts what comes of a file.

    Parameters
    ----------
    packed
        The size of the file.
    label
        What errors call it.
    max_values
        So many values any file may have.
    ratio
        And so many for each byte of it.

    Examples
    --------
    >>> extent = Extent(1000, "a.parquet")
    >>> extent.add(values=1_000_000)
    >>> extent.add(values=1_000_000_000)
    Traceback (most recent call last):
    ...
    barbule.errors.DataError: the file 'a.parquet' holds 1,001,000,000 values and more, in ...
    """

    def __init__(
        self, packed: int, label: str, *, max_values: int = 10_000_000, ratio: float = 20
    ) -> None:
        self._packed, self._label = packed, label
        self._max_values = max(max_values, int(ratio * packed))
        self._max_bytes = max(_PLAIN_BYTES, _BYTES_PER_BYTE * packed)
        self._values = self._unpacked = self._decoded = 0

    def add(self, *, values: int = 0, unpacked: int = 0, decoded: int = 0) -> None:
        """Count more of it.

        Parameters
        ----------
        values
            Values, rows or elements, be they empty.
        unpacked
            Bytes that were compressed.
        decoded
            Bytes that columns take, with each value as often as it stands there.

        Raises
        ------
        DataError
            When it is more than honest files have.
        """
        self._values += values
        self._unpacked += unpacked
        self._decoded += decoded
        if self._values > self._max_values:
            self._refuse(f"holds {self._values:,} values")
        if is_swollen(self._packed, self._unpacked):
            self._refuse(f"decompresses to {self._unpacked:,} bytes")
        if self._decoded > self._max_bytes:
            self._refuse(f"holds {self._decoded:,} bytes of values")

    def refuse_repeated(self, most: int) -> None:
        """Refuse values that may take so many bytes at once.

        Raises
        ------
        DataError
            When it is more than honest files have.
        """
        if is_swollen(self._packed, most):
            self._refuse(f"holds lists of repeated long values, of {most:,} bytes")

    def _refuse(self, excess: str) -> None:
        raise DataError(
            f"the file {self._label!r} {excess} and more, in {self._packed:,} bytes.",
            hint="It is rejected as a decompression bomb. If you trust it, read it with pyarrow "
            "or another library and insert the result.",
        )
