"""The declarations of all data types, one entry each.

To add a data type, write its class in `types.data_types` and its entry here.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.json_codec import as_base64, iso_text, json_cell
from barbule.types.data_types import (
    MAX_DIGITS,
    VARIABLE_UNITS,
    Audio,
    Document,
    Duration,
    Image,
    Json,
    Media,
    Video,
)
from barbule.types.declarations import file_values, python_values
from barbule.types.declarations.type_declaration import TypeDeclaration
from barbule.types.durations import duration_text
from barbule.types.zones import canonical_zone

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from barbule.types.declarations.media_access import MediaAccess
    from barbule.types.declarations.nested import Convert

__all__ = ["DECLARATIONS"]

_DEFAULT_SCALE = 9  # of a decimal without a scale, as Ibis converts it to Arrow


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
    python=frozenset({int}),
    write=lambda kind, _: python_values.integer_writer(kind),
    sql_is_exact=True,
    json="integer",
    answer=int,
)
_FLOATING = dataclasses.replace(
    _NUMBER,
    dtype=dt.Floating,
    python=frozenset({float, int}),
    nan_is_missing=False,
    write=_always(python_values.to_float),
    sql_is_exact=True,
    answer=float,
)


def _sized_decimal(kind: dt.Decimal) -> dt.Decimal:
    if None not in {kind.precision, kind.scale}:
        return kind
    scale = 0 if kind.precision is not None else _DEFAULT_SCALE
    return kind.copy(
        precision=kind.precision or MAX_DIGITS,
        scale=scale if kind.scale is None else kind.scale,
    )


def _refuse_digits(kind: dt.Decimal) -> tuple[str, str] | None:
    if (kind.precision or 0) <= MAX_DIGITS:
        return None
    return (
        f"a decimal has up to {MAX_DIGITS} digits, but {kind} has {kind.precision}.",
        f"Use decimal({MAX_DIGITS}, {min(kind.scale or 0, MAX_DIGITS)}), or bb.String.",
    )


_DECIMAL = dataclasses.replace(
    _NUMBER,
    dtype=dt.Decimal,
    canonical=_sized_decimal,
    refusal=_refuse_digits,
    python=frozenset({decimal.Decimal, int}),
    nan_is_missing=False,  # refused, as infinity is
    write=lambda kind, _: python_values.decimal_writer(kind),
    by_duckdb=lambda kind: not file_values.is_wide(kind),
    to_file=file_values.decimal_writer,
    parse=file_values.parse_decimal,
    answer=float,
)

# -- Times -----------------------------------------------------------------------------------------


def _zoned_timestamp(kind: dt.Timestamp) -> dt.Timestamp:
    if kind.timezone is None:
        return kind
    # Databases store them in microseconds.
    zone = canonical_zone(kind.timezone) or kind.timezone
    return kind.copy(timezone=zone, scale=min(kind.scale, 6) if kind.scale else kind.scale)


def _refuse_zone(kind: dt.Timestamp) -> tuple[str, str] | None:
    if not kind.timezone or canonical_zone(kind.timezone):
        return None
    return (
        f"there is no time zone {kind.timezone!r}.",
        'Write it as the IANA database does, "Europe/Berlin", or as "UTC" or "+02:00".',
    )


def _refuse_months(kind: dt.Interval) -> tuple[str, str] | None:
    if kind.unit.short not in VARIABLE_UNITS:
        return None
    return (
        (
            f"a column holds durations of a fixed length, but the length of {kind} depends on "
            "the calendar."
        ),
        "Store the number of months as bb.Int.",
    )


_TIMESTAMP = TypeDeclaration(
    dtype=dt.Timestamp,
    canonical=_zoned_timestamp,
    refusal=_refuse_zone,
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
    canonical=lambda kind: (
        kind if kind.unit.short in VARIABLE_UNITS else Duration.copy(nullable=kind.nullable)
    ),
    refusal=_refuse_months,
    python=frozenset({datetime.timedelta}),
    write=_always(python_values.to_duration),
    takes_arrow=_arrow("duration"),
    by_duckdb=lambda _: False,
    to_file=_always(duration_text),
)

# -- Others ----------------------------------------------------------------------------------------


def _refuse(kind: dt.DataType) -> tuple[str, str]:
    return (
        f"the type {kind} is not supported.",
        "Store geometries as strings (WKT) or bytes (WKB), and network addresses as bb.String.",
    )


def _refuse_null(kind: dt.DataType) -> tuple[str, str]:
    return (
        f"the type {type(kind).__name__.lower()} is not supported.",
        'Declare its type: bb.String in a schema, ibis.null("string") in an expression.',
    )


_ARRAY = TypeDeclaration(
    dtype=dt.Array, is_nested=True, parse=json.loads, sized=True, display="code"
)

DECLARATIONS: tuple[TypeDeclaration, ...] = (
    TypeDeclaration(dtype=dt.DataType),
    _STRING,
    _MEDIA,
    dataclasses.replace(_MEDIA, dtype=Image, noun="an image", modality="image", read=_open_image),
    dataclasses.replace(_MEDIA, dtype=Audio, noun="an audio file", modality="audio"),
    dataclasses.replace(_MEDIA, dtype=Video, noun="a video", modality="video"),
    dataclasses.replace(_MEDIA, dtype=Document, noun="a document", modality="document"),
    _JSON,
    dataclasses.replace(_JSON, dtype=Json, storage=dt.JSON),
    TypeDeclaration(
        dtype=dt.Boolean,
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
        _FLOATING, dtype=dt.Float16, canonical=lambda kind: dt.Float32(nullable=kind.nullable)
    ),
    _DECIMAL,
    _TIMESTAMP,
    _DATE,
    _TIME,
    _INTERVAL,
    TypeDeclaration(
        dtype=dt.UUID,
        write=_always(python_values.to_uuid),
        checked=True,
        text_cast="text",
        json="text",
    ),
    TypeDeclaration(
        dtype=dt.Binary,
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
        TypeDeclaration(dtype=refused, refusal=_refuse)
        for refused in (dt.GeoSpatial, dt.INET, dt.MACADDR)
    ),
    *(TypeDeclaration(dtype=refused, refusal=_refuse_null) for refused in (dt.Null, dt.Unknown)),
)
