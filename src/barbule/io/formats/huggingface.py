"""Data sets of Hugging Face's `datasets`, read as rows and built from rows.

Maps features to data types and back. The package is optional.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import ibis.expr.datatypes as dt

from barbule.errors import DataError, UnsupportedError, with_article
from barbule.io.export_rows import media_columns
from barbule.io.formats.parquet import embedded
from barbule.io.lazy_rows import Rows
from barbule.types import Audio, Document, Image, Json, Media, Video, dtype
from barbule.values.cells import arrow_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from datasets import Dataset, Features, IterableDataset

    from barbule.io.export_rows import ExportRows

__all__ = ["is_dataset", "read_huggingface", "to_huggingface"]

# A class of features, or a mapping or list of features.
Feature: TypeAlias = Any

_SPLIT = "split"
_MEDIA_FEATURES: dict[str, type[Media]] = {
    "Image": Image,
    "Audio": Audio,
    "Video": Video,
    "Pdf": Document,
}


def is_dataset(source: object) -> bool:
    """Whether an object is a data set of the `datasets` package."""
    if type(source).__module__.split(".")[0] != "datasets":
        return False
    datasets = sys.modules["datasets"]
    kinds = (datasets.Dataset, datasets.IterableDataset, datasets.DatasetDict)
    return isinstance(source, (*kinds, datasets.IterableDatasetDict))


def read_huggingface(dataset: object) -> Rows:
    """Read a data set as rows; see `Session.read_huggingface`."""
    if not is_dataset(dataset):
        raise DataError(
            f"{with_article(type(dataset).__name__)} is not a Hugging Face data set.",
            hint="Pass the result of datasets.load_dataset(...).",
        )
    if not isinstance(dataset, dict):
        kinds = _column_types(dataset)
        return Rows(kinds, lambda: ((None, row) for row in _rows(dataset)), _described(dataset))
    if not dataset:
        raise DataError("the data set has no splits.", hint="Pass a data set with rows.")
    kinds = {_SPLIT: dt.string, **_column_types(next(iter(dataset.values())))}

    def read() -> Iterator[tuple[str | None, dict[str, Any]]]:
        for name, split in dataset.items():
            for row in _rows(split):
                yield None, {_SPLIT: str(name), **row}

    return Rows(kinds, read, f"a data set with the splits {', '.join(map(str, dataset))}")


def _described(dataset: object) -> str:
    return f"{with_article(type(dataset).__name__)} of Hugging Face"


def _features(dataset: Dataset | IterableDataset) -> Features:
    features = dataset.features
    if features is None:
        features = dataset._resolve_features().features
    if features is None:
        raise DataError(
            "the data set does not declare its features.",
            hint="Pass a data set that has .features.",
        )
    return features


def _column_types(dataset: Dataset | IterableDataset) -> dict[str, Any]:
    return {name: _feature_type(feature) for name, feature in _features(dataset).items()}


def _feature_type(feature: Feature) -> dt.DataType:
    """Return the data type of a feature; class labels are strings."""
    name = type(feature).__name__
    if name in _MEDIA_FEATURES:
        return _MEDIA_FEATURES[name]()
    if name == "ClassLabel":
        return dt.string
    if isinstance(feature, dict):
        return dt.Struct({field: dtype(_feature_type(inner)) for field, inner in feature.items()})
    if name in {"List", "LargeList", "Sequence"} or isinstance(feature, list):
        inner = feature[0] if isinstance(feature, list) else feature.feature
        length = getattr(feature, "length", -1)
        kind = dtype(_feature_type(inner))
        return dt.Array(kind) if length < 0 else dt.Array(kind, length=length)
    if name == "Value":
        return dtype(feature.pa_type)
    return Json()


def _rows(dataset: Dataset | IterableDataset) -> Iterator[dict[str, Any]]:
    """Read rows with media that are not decoded, and class labels by name."""
    features = _features(dataset)
    readers = {
        name: read for name, column_feature in features.items() if (read := _reader(column_feature))
    }
    # Rows have plain values, regardless of the format of the data set.
    dataset = dataset.with_format(None)
    for name, feature in features.items():
        if type(feature).__name__ in _MEDIA_FEATURES and getattr(feature, "decode", False):
            dataset = dataset.cast_column(name, type(feature)(decode=False))
    for row in dataset:
        for name, read in readers.items():
            if row.get(name) is not None:
                row[name] = read(row[name])
        yield row


def _reader(feature: Feature) -> Callable[[Any], Any] | None:
    if type(feature).__name__ == "ClassLabel":
        return lambda number: number if isinstance(number, str) else feature.int2str(number)
    if isinstance(feature, list) or type(feature).__name__ in {"List", "LargeList", "Sequence"}:
        inner = _reader(feature[0] if isinstance(feature, list) else feature.feature)
        return inner and (lambda items: [None if item is None else inner(item) for item in items])
    if isinstance(feature, dict):
        return _struct_reader(
            {n: r for n, field_feature in feature.items() if (r := _reader(field_feature))}
        )
    return None


def _struct_reader(
    readers: Mapping[str, Callable[[Any], Any]],
) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    if not readers:
        return None
    return lambda row: {
        name: readers[name](value) if name in readers and value is not None else value
        for name, value in row.items()
    }


def to_huggingface(rows: ExportRows) -> Dataset:
    """Build a data set from rows: local files by path, other media with their content.

    Raises
    ------
    UnsupportedError
        If the package is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise UnsupportedError(
            "Hugging Face's datasets is not installed.", hint="pip install 'barbule[datasets]'."
        ) from error
    import pyarrow as pa

    media = media_columns(rows)
    content = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    names = rows.schema.names
    kinds = {name: rows.schema[name] for name in names}
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for batch in rows.batches(1024):
        for name in names:
            cells = batch.column(name)
            if name in media:
                embedded_media = [_media_struct(reference, rows) for reference in cells.to_pylist()]
                cells = pa.array(embedded_media, content)
            columns[name].append(cells)
    table = pa.table(
        {
            name: pa.chunked_array(
                columns[name], content if name in media else arrow_type(kinds[name])
            )
            for name in names
        }
    )
    features = datasets.Features.from_arrow_schema(table.schema)
    for name in media:
        feature = getattr(datasets, type(kinds[name]).__name__, None)
        if feature is not None:
            features[name] = feature()
    return datasets.Dataset(table, info=datasets.DatasetInfo(features=features))


def _media_struct(reference: str | None, rows: ExportRows) -> dict[str, Any] | None:
    if reference is None:
        return None
    if rows.library.is_lasting(reference):
        return {"bytes": None, "path": str(Path(rows.library.path(reference)))}
    return embedded(reference, rows.library)
