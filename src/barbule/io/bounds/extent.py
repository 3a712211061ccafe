"""Limits on the rows of a file: in proportion to the file, with an allowance for small files.

Owns the limits on values and bytes, and the error that names the file. A column in which one value
is repeated a billion times takes a few bytes, and so does a page of a billion zeros: readers of a
file count their output here.
"""

from __future__ import annotations

from barbule.errors import DataError
from barbule.media.archives import is_swollen

__all__ = ["Extent"]

_PLAIN_BYTES = 128 << 20  # of columns, up to which any ratio is legitimate
_BYTES_PER_BYTE = 200


class Extent:
    """Counts the output of a file.

    Parameters
    ----------
    packed
        The size of the file.
    label
        The name of the file in errors.
    max_values
        The number of values that any file may have.
    ratio
        The additional number for each byte of it.

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
        """Count more output.

        Parameters
        ----------
        values
            Values, rows or elements, including empty ones.
        unpacked
            Bytes that were compressed.
        decoded
            Bytes of columns, with each value as often as it occurs.

        Raises
        ------
        DataError
            If it exceeds the limits.
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
        """Refuse values that may take this many bytes at once.

        Raises
        ------
        DataError
            If it exceeds the limits.
        """
        if is_swollen(self._packed, most):
            self._refuse(f"holds lists of repeated long values, of {most:,} bytes")

    def _refuse(self, excess: str) -> None:
        raise DataError(
            f"the file {self._label!r} {excess} and more, in {self._packed:,} bytes.",
            hint="It is rejected as a decompression bomb. If you trust it, read it with pyarrow "
            "or another library and insert the result.",
        )
