"""The rows of a query as a PyTorch `IterableDataset`.

The workers of a `DataLoader` need no database: the rows are written to a temporary Arrow file when
the data set is created, media by reference, and each worker reads its share and opens the media
itself.
"""

from __future__ import annotations

import functools
import math
import os
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import UnsupportedError
from barbule.types import declaration
from barbule.types.declarations.nested import leaves
from barbule.values.cells import arrow_type, reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import PIL.Image
    import torch
    from torch.utils.data import IterableDataset

    from barbule.io.export_rows import ExportRows
    from barbule.media.library import MediaLibrary

__all__ = ["stage_rows", "to_pytorch"]

_ROWS_PER_BATCH = 256


@dataclass(frozen=True)
class _StagedRows:
    """The rows in a temporary file, and how a worker reads them."""

    file: Path
    kinds: Mapping[str, dt.DataType]
    library: MediaLibrary
    transform: Callable[[dict[str, Any]], Any] | None

    def rows(self, worker: int, workers: int) -> Iterator[Any]:
        """Read every n-th batch of rows, and open their media."""
        import pyarrow as pa

        readers = {
            name: cell_reader
            for name, kind in self.kinds.items()
            if (cell_reader := self._reader(kind))
        }
        with pa.ipc.open_file(str(self.file)) as file:
            for index in range(worker, file.num_record_batches, workers):
                for row in file.get_batch(index).to_pylist():
                    for name, read in readers.items():
                        row[name] = read(row[name])
                    yield row if self.transform is None else self.transform(row)

    def _reader(self, kind: dt.DataType) -> Callable[[Any], Any] | None:
        read: Callable[[Any], Any] | None
        if self.transform is None and (read := _tensor_reader(kind)) is not None:
            return read
        declared = declaration(kind)
        if declared.modality == "image":
            read = self._pixels
        elif declared.is_media:
            read = self._path
        else:
            read = reader(kind)
        return None if read is None else _skipping_none(read)

    def _path(self, reference: str) -> str:
        return str(self.library.path(reference))

    def _pixels(self, reference: str) -> PIL.Image.Image | torch.Tensor:
        """Return an image as a tensor of channels, height and width; with a transform the image."""
        image = self.library.image(reference)
        if self.transform is not None:
            return image
        import numpy as np
        import torch

        from barbule.media.images.conversion import rgb

        pixels = np.array(rgb(image))
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _skipping_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _tensor_reader(kind: dt.DataType) -> Callable[[Any], Any] | None:
    """Return the conversion of a cell for a loader; None if there is none.

    Lists of numbers become tensors; a loader stacks those of one length. Missing floats are NaN,
    as in pandas.
    """
    if isinstance(kind, dt.Floating):
        return lambda value: math.nan if value is None else value
    if not isinstance(kind, dt.Array):
        return None
    item = next(leaves(kind, into=(dt.Array,)))
    if not isinstance(item, dt.Integer | dt.Floating | dt.Boolean):
        return None
    name = "bool" if isinstance(item, dt.Boolean) else type(item).__name__.lower()
    is_vector = kind.length is not None and isinstance(kind.value_type, dt.Floating)
    missing = [math.nan] * (kind.length or 0) if is_vector else None

    def tensor(value: object) -> object:
        import torch

        numbers = missing if value is None else _with_nan(value, item)
        if numbers is None:
            return None
        try:
            return torch.tensor(numbers, dtype=getattr(torch, name))
        except (TypeError, ValueError):  # an integer is missing, or rows differ in their length
            return value

    return tensor


def _with_nan(value: object, item: dt.DataType) -> object:
    """Replace missing floats in a nested list by NaN."""
    if isinstance(value, list):
        return [_with_nan(element, item) for element in value]
    return math.nan if value is None and isinstance(item, dt.Floating) else value


@functools.cache
def _dataset_class() -> Callable[[_StagedRows, int], IterableDataset[Any]]:
    """Define the subclass of torch's `IterableDataset`, which imports torch."""
    import torch.utils.data

    class RowsDataset(torch.utils.data.IterableDataset):
        """The rows of a query."""

        def __init__(self, content: _StagedRows, count: int) -> None:
            self._content = content
            self._count = count

        def __len__(self) -> int:
            return self._count

        def __iter__(self) -> Iterator[Any]:
            info = torch.utils.data.get_worker_info()
            worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
            return self._content.rows(worker, workers)

        def __reduce__(
            self,
        ) -> tuple[Callable[..., object], tuple[object, ...]]:  # for workers that are not forked
            return _rebuild_dataset, (self._content, self._count)

    return RowsDataset


def _rebuild_dataset(content: _StagedRows, count: int) -> IterableDataset[Any]:
    return _dataset_class()(content, count)


def to_pytorch(
    rows: ExportRows, transform: Callable[[dict[str, Any]], Any] | None
) -> IterableDataset[Any]:
    """Create the data set; see `Query.to_pytorch_dataset`.

    Raises
    ------
    UnsupportedError
        If torch is not installed.
    """
    try:
        make = _dataset_class()
    except ImportError as error:
        raise UnsupportedError(
            "PyTorch is not installed.", hint="Install torch as https://pytorch.org says."
        ) from error
    content, count = stage_rows(rows, transform)
    dataset = make(content, count)
    weakref.finalize(dataset, _remove, content.file)
    return dataset


def stage_rows(
    rows: ExportRows, transform: Callable[[dict[str, Any]], Any] | None
) -> tuple[_StagedRows, int]:
    """Write rows to a temporary file; return their reader and number."""
    import pyarrow as pa

    handle, name = tempfile.mkstemp(prefix="barbule-torch-", suffix=".arrow")
    schema = pa.schema([(column, arrow_type(kind)) for column, kind in rows.schema.items()])
    count = 0
    with os.fdopen(handle, "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for batch in rows.batches(_ROWS_PER_BATCH):
            for start in range(0, batch.num_rows, _ROWS_PER_BATCH):
                part = batch.slice(start, _ROWS_PER_BATCH).cast(schema)
                writer.write_batch(part)
                count += part.num_rows
    return _StagedRows(Path(name), dict(rows.schema.items()), rows.library, transform), count


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
