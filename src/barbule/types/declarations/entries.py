"""The declarations of all data types, one entry each.

To add a data type, write its class in `types.data_types` and its entry here.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
import pathlib
import uuid
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.json_codec import as_base64, iso_text, json_cell
from barbule.types.data_types import (
    VARIABLE_UNITS,
    Audio,
    Document,
    Duration,
    Image,
    Json,
    Media,
    Video,
)
from barbule.types.declarations import file_values, limits, python_values
from barbule.types.declarations.type_declaration import TypeDeclaration
from barbule.types.durations import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from barbule.types.declarations.media_access import MediaAccess
    from barbule.types.declarations.nested import Convert

__all__ = ["DECLARATIONS"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _always(convert: Convert) -> Callable[..., Convert]:
    return lambda *_: convert


def _arrow(*names: str) -> Callable[[pa.DataType], bool]:
    """Return the test for Arrow types, by the names of tests in `pyarrow.types`."""

    def test(source: pa.DataType) -> bool:
        import pyarrow.types as pat

        return any(getattr(pat, f"is_{name}")(source) for name in names)

    return test


_arrow_numbers = _arrow("integer", "floating", "decimal")


# -- Strings, files and JSON -----------------------------------------------------------------------

_STRING = TypeDeclaration(
    dtype=dt.String,
    names=("str",),
    annotations=(str, pathlib.PurePath),
    modality="text",
    python=frozenset({str}),
    write=_always(python_values.to_string),
    takes_arrow=_arrow("string", "large_string", "string_view"),
    text_cast="text",
    empty_text=True,
    sql_is_exact=True,
    family="text",
    json="string",
    answer=str,
    sized=True,
)


def _refer(kind: Media, library: MediaAccess) -> Convert:
    return lambda value: library.refer(value, kind)


def _open_path(library: MediaAccess | None) -> Convert | None:
    if library is None:
        return None
    path = library.path
    return lambda reference: str(path(reference))


def _open_image(library: MediaAccess | None) -> Convert | None:
    return None if library is None else library.image


_MEDIA = dataclasses.replace(
    _STRING,
    dtype=Media,
    names=(),
    annotations=(),
    noun="a file",
    modality="file",
    is_media=True,
    storage=dt.String,
    python=frozenset(),
    write=_refer,
    read=_open_path,
    takes_arrow=_arrow(),
    checked=True,
    empty_text=False,
    sql_is_exact=False,
    answer=None,
    display="media",
)
_JSON = TypeDeclaration(
    dtype=dt.JSON,
    canonical=lambda kind: kind if isinstance(kind, Json) else Json(nullable=kind.nullable),
    nan_is_missing=False,
    write=_always(json_cell),
    read=_always(json.loads),
    checked=True,
    by_duckdb=lambda _: False,
    to_file=_always(json.loads),
    text_cast="text",
    json="json",
    answer=Any,
    sized=True,
    display="code",
)

# -- Numbers ---------------------------------------------------------------------------------------

_NUMBER = TypeDeclaration(
    dtype=dt.Numeric,
    parse=file_values.parse_number,
    text_cast="arrow",
    takes_arrow=_arrow_numbers,
    family="number",
    json="number",
    display="number",
)
_INTEGER = dataclasses.replace(
    _NUMBER,
    dtype=dt.Integer,
    names=("int",),
    annotations=(int,),
    default=dt.Int64,
    python=frozenset({int}),
    write=lambda kind, _: python_values.integer_writer(kind),
    sql_is_exact=True,
    json="integer",
    answer=int,
)
_FLOATING = dataclasses.replace(
    _NUMBER,
    dtype=dt.Floating,
    names=("float",),
    annotations=(float,),
    default=dt.Float64,
    python=frozenset({float, int}),
    nan_is_missing=False,
    write=_always(python_values.to_float),
    sql_is_exact=True,
    answer=float,
)


_DECIMAL = dataclasses.replace(
    _NUMBER,
    dtype=dt.Decimal,
    annotations=(decimal.Decimal,),
    canonical=limits.sized_decimal,
    refusal=limits.refuse_digits,
    python=frozenset({decimal.Decimal, int}),
    nan_is_missing=False,  # refused, as infinity is
    write=lambda kind, _: python_values.decimal_writer(kind),
    by_duckdb=lambda kind: not file_values.is_wide(kind),
    to_file=file_values.decimal_writer,
    parse=file_values.parse_decimal,
    answer=float,
)

# -- Times -----------------------------------------------------------------------------------------


_TIMESTAMP = TypeDeclaration(
    dtype=dt.Timestamp,
    annotations=(datetime.datetime,),
    canonical=limits.zoned_timestamp,
    refusal=limits.refuse_zone,
    python=frozenset({datetime.datetime}),
    write=lambda kind, library: python_values.timestamp_writer(kind, library.zone),
    takes_arrow=_arrow("timestamp", "date"),
    to_file=_always(iso_text),
    parse=str,  # read where its nanoseconds are
    text_cast="arrow",
    family="day",
    json="text",
    answer=datetime.datetime,
)
_DATE = TypeDeclaration(
    dtype=dt.Date,
    annotations=(datetime.date,),
    python=frozenset({datetime.date}),
    write=_always(python_values.to_date),
    takes_arrow=_arrow("date"),
    to_file=_always(iso_text),
    parse=datetime.date.fromisoformat,
    text_cast="arrow",
    sql_is_exact=True,
    family="day",
    json="text",
    answer=datetime.date,
)
_TIME = TypeDeclaration(
    dtype=dt.Time,
    annotations=(datetime.time,),
    python=frozenset({datetime.time}),
    write=_always(python_values.to_time),
    takes_arrow=_arrow("time"),
    to_file=_always(iso_text),
    parse=datetime.time.fromisoformat,
    family="time",
    json="text",
    answer=datetime.time,
)
_INTERVAL = TypeDeclaration(
    dtype=dt.Interval,
    names=("duration",),
    annotations=(datetime.timedelta,),
    default=lambda: Duration,
    canonical=lambda kind: (
        kind if kind.unit.short in VARIABLE_UNITS else Duration.copy(nullable=kind.nullable)
    ),
    refusal=limits.refuse_months,
    python=frozenset({datetime.timedelta}),
    write=_always(python_values.to_duration),
    takes_arrow=_arrow("duration"),
    by_duckdb=lambda _: False,
    to_file=_always(duration_text),
)

# -- Others ----------------------------------------------------------------------------------------


_ARRAY = TypeDeclaration(
    dtype=dt.Array, is_nested=True, parse=json.loads, sized=True, display="code"
)

DECLARATIONS: tuple[TypeDeclaration, ...] = (
    TypeDeclaration(dtype=dt.DataType),
    _STRING,
    _MEDIA,
    dataclasses.replace(
        _MEDIA,
        dtype=Image,
        names=("image",),
        suffixes=_words("jpg jpeg jpe jfif png webp gif tif tiff bmp avif heic heif ppm pgm"),
        noun="an image",
        modality="image",
        read=_open_image,
    ),
    dataclasses.replace(
        _MEDIA,
        dtype=Audio,
        names=("audio",),
        suffixes=_words("mp3 wav flac ogg oga opus m4a aac wma aif aiff"),
        noun="an audio file",
        modality="audio",
    ),
    dataclasses.replace(
        _MEDIA,
        dtype=Video,
        names=("video",),
        suffixes=_words("mp4 m4v mov mkv webm avi mpg mpeg ogv wmv"),
        noun="a video",
        modality="video",
    ),
    dataclasses.replace(
        _MEDIA,
        dtype=Document,
        names=("document",),
        suffixes=_words(
            "pdf docx pptx xlsx html htm xhtml md markdown txt csv tsv json jsonl xml epub"
        ),
        noun="a document",
        modality="document",
    ),
    _JSON,
    dataclasses.replace(
        _JSON,
        dtype=Json,
        names=("json",),
        annotations=(dict, list, tuple, set, Any),
        storage=dt.JSON,
    ),
    TypeDeclaration(
        dtype=dt.Boolean,
        names=("bool",),
        annotations=(bool,),
        python=frozenset({bool}),
        write=_always(python_values.to_bool),
        takes_arrow=_arrow("boolean"),
        parse=file_values.parse_boolean,
        text_cast="arrow",
        sql_is_exact=True,
        family="boolean",
        json="boolean",
        answer=bool,
        display="boolean",
    ),
    _NUMBER,
    _INTEGER,
    _FLOATING,
    dataclasses.replace(
        _FLOATING,
        names=(),
        annotations=(),
        default=None,
        dtype=dt.Float16,
        canonical=lambda kind: dt.Float32(nullable=kind.nullable),
    ),
    _DECIMAL,
    _TIMESTAMP,
    _DATE,
    _TIME,
    _INTERVAL,
    TypeDeclaration(
        dtype=dt.UUID,
        annotations=(uuid.UUID,),
        write=_always(python_values.to_uuid),
        checked=True,
        text_cast="text",
        json="text",
    ),
    TypeDeclaration(
        dtype=dt.Binary,
        annotations=(bytes, bytearray),
        python=frozenset({bytes}),
        write=_always(python_values.to_bytes),
        takes_arrow=_arrow("large_binary", "fixed_size_binary"),
        by_duckdb=lambda _: False,
        to_file=_always(as_base64),
        from_file=file_values.parse_bytes,
        parse=file_values.parse_bytes,
        empty_text=True,
        display="bytes",
    ),
    _ARRAY,
    dataclasses.replace(_ARRAY, dtype=dt.Struct, sized=False),
    dataclasses.replace(_ARRAY, dtype=dt.Map),
    *(
        TypeDeclaration(dtype=refused, refusal=limits.refuse_unknown)
        for refused in (dt.GeoSpatial, dt.INET, dt.MACADDR)
    ),
    *(
        TypeDeclaration(dtype=refused, refusal=limits.refuse_null)
        for refused in (dt.Null, dt.Unknown)
    ),
)
