"""Parquet files with embedded media.

A media cell is a struct of `bytes` and `path`, as in Hugging Face's `datasets`, whose metadata of
features is read and written too.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barbule.errors import DataError, SchemaError
from barbule.io.bounds.parquet_pages import open_parquet
from barbule.io.containment import DataSetRoot, contained_media, is_embedded
from barbule.io.export_rows import media_columns
from barbule.io.input_files import find_files
from barbule.io.lazy_rows import Rows
from barbule.io.output_files import check_target
from barbule.locations import expand_user, write_atomically
from barbule.types import Audio, Document, Image, Media, Video, dtype
from barbule.types.json_marks import is_marked_json, mark_json_field
from barbule.values.cells import arrow_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch
    import pyarrow as pa

    from barbule.io.bounds.parquet_pages import ParquetPages
    from barbule.io.export_rows import ExportRows
    from barbule.io.input_files import File
    from barbule.media.library import MediaLibrary

__all__ = ["embedded", "features_of", "read_parquet", "write_parquet"]

_ROWS_PER_BATCH = 256  # each may hold a large file
_FEATURES: dict[str, type[Media]] = {
    "Image": Image, "Audio": Audio, "Video": Video, "Pdf": Document, "Document": Document,
}  # fmt: skip
_FEATURE_NAMES = {Image: "Image", Audio: "Audio", Video: "Video"}


def read_parquet(
    source: str | os.PathLike[str],
    library: MediaLibrary,
    root: str | os.PathLike[str] | None = None,
) -> Rows:
    """Read Parquet files with embedded media as rows; see `Session.read_parquet`."""
    import pyarrow as pa

    name = os.fspath(source)
    files = find_files(name, library)
    with _open(files[0]) as first:
        kinds = features_of(first.file.schema_arrow)

    def read() -> Iterator[tuple[str | None, dict[str, Any]]]:
        for file in files:
            containment = DataSetRoot.of(file, root)
            with _open(file) as parquet:
                batches = parquet.batches(_ROWS_PER_BATCH)
                while True:
                    with _explain_errors(file):
                        batch = next(batches, None)
                    if batch is None:
                        break
                    rows = contained_media(pa.Table.from_batches([batch]), containment)
                    for row in _records(rows):
                        yield file.label, row

    return Rows(kinds, read, f"the file {name!r}")


def _records(rows: pa.Table) -> list[dict[str, Any]]:
    """Return rows as Python values, with JSON columns parsed."""
    json_fields = [field for field in rows.schema if _holds_json(field)]
    records: list[dict[str, Any]] = rows.to_pylist()
    for field in json_fields:
        for record in records:
            record[field.name] = _json_values(record[field.name], field)
    return records


def _holds_json(field: pa.Field) -> bool:
    """Whether a field is marked as JSON, or one nested in it."""
    if is_marked_json(field):
        return True
    return any(map(_holds_json, _inner_fields(field.type)))


def _inner_fields(kind: pa.DataType) -> list[pa.Field]:
    import pyarrow.types as pat

    if pat.is_struct(kind):
        return [kind.field(index) for index in range(kind.num_fields)]
    return [kind.value_field] if pat.is_list(kind) or pat.is_large_list(kind) else []


def _json_values(value: Any, field: pa.Field) -> Any:
    """Parse the strings of a value that are marked as JSON."""
    if value is None or not _holds_json(field):
        return value
    inner = _inner_fields(field.type)
    if not inner:
        return json.loads(value)
    if isinstance(value, dict):
        return {
            inner_field.name: _json_values(value[inner_field.name], inner_field)
            for inner_field in inner
        }
    return [_json_values(item, inner[0]) for item in value]


@contextlib.contextmanager
def _open(file: File) -> Iterator[ParquetPages]:
    with contextlib.ExitStack() as stack:
        with _explain_errors(file):
            parquet = stack.enter_context(open_parquet(file))
        yield parquet


@contextlib.contextmanager
def _explain_errors(file: File) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError as error:
        raise file.missing() from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"the file {file.label!r} cannot be read: {str(error).splitlines()[0].rstrip('.')}.",
            hint="It may be truncated or damaged, or not a Parquet file.",
        ) from error


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """Return the data types of the columns of an Arrow schema, media included.

    The features in the metadata of `datasets` define which columns are media; without them a struct
    of `bytes` and `path` is an image.
    """
    metadata = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(metadata).get("info", {}).get("features", {})
    except ValueError:
        features = {}
    kinds: dict[str, Any] = {}
    for field in schema:
        feature = features.get(field.name)
        name = feature.get("_type") if isinstance(feature, dict) else None
        if name in _FEATURES:
            kinds[field.name] = _FEATURES[name]
        elif is_embedded(field.type):
            kinds[field.name] = Image
        else:
            try:
                kinds[field.name] = dtype(field)
            except SchemaError as error:
                raise error.at(column=field.name) from error.__cause__
    return kinds


def embedded(reference: str | None, library: MediaLibrary) -> dict[str, Any] | None:
    """Return the struct of a media file: its content and file name."""
    if reference is None:
        return None
    path = library.path(reference)
    return {"bytes": path.read_bytes(), "path": _file_name(reference, path)}


def _file_name(reference: str, path: Path) -> str:
    return path.name if ":" in reference[:12] else Path(reference).name


def write_parquet(rows: ExportRows, target: str | os.PathLike[str]) -> int:
    """Write rows with their media into a Parquet file.

    Returns
    -------
    int
        The number of rows that were written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    media = media_columns(rows)
    schema = _with_features(rows.schema, media)
    count = 0
    path = check_target(target) or expand_user(target)
    with write_atomically(path) as file, pq.ParquetWriter(file, schema) as writer:
        batches = rows.batches(_ROWS_PER_BATCH)
        for batch in itertools.chain.from_iterable(map(_slices, batches)):
            columns = []
            for field in schema:
                cells = batch.column(field.name)
                if field.name in media:
                    embedded_media = [
                        embedded(reference, rows.library) for reference in cells.to_pylist()
                    ]
                    cells = pa.array(embedded_media, field.type)
                columns.append(cells.cast(field.type))
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            count += batch.num_rows
    return count


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, batch.num_rows, _ROWS_PER_BATCH):
        yield batch.slice(start, _ROWS_PER_BATCH)


def _with_features(columns: sch.Schema, media: list[str]) -> pa.Schema:
    import pyarrow as pa

    content = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [
        (name, content if name in media else arrow_type(kind)) for name, kind in columns.items()
    ]
    media_features = {name: {"_type": _feature_name(columns[name])} for name in media}
    arrow = pa.schema(fields)
    plain_indexes = [
        column_index for column_index, (name, _) in enumerate(fields) if name not in media
    ]
    for index in plain_indexes:
        arrow = arrow.set(index, mark_json_field(arrow.field(index), columns[fields[index][0]]))
    metadata = json.dumps(
        {"info": {"features": {k: v for k, v in media_features.items() if v["_type"]}}}
    )
    return arrow.with_metadata({"huggingface": metadata})


def _feature_name(kind: dt.DataType) -> str | None:
    return next(
        (name for media_class, name in _FEATURE_NAMES.items() if isinstance(kind, media_class)),
        None,
    )
