"""WebDataset: tar files in which the files of one sample share a key.

Converts between members and columns. A member `0001.image.jpg` is the column `image` of the sample
`0001`; `0001.jpg` is its column `jpg`. The format is that of
https://github.com/webdataset/webdataset, which reads the files that this module writes.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import ibis.expr.datatypes as dt

from barbule.errors import DataError, SchemaError
from barbule.io.containment import DataSetRoot
from barbule.io.export_rows import file_ending
from barbule.io.file_types import ENDINGS
from barbule.io.input_files import find_files
from barbule.io.lazy_rows import Rows
from barbule.io.output_files import check_target
from barbule.io.tar_files import open_tar_file
from barbule.io.text_cells import json_writer
from barbule.json_codec import to_readable
from barbule.locations import expand_user, write_atomically
from barbule.media.archives import check_member
from barbule.types import Document, Json, Media, declaration, infer
from barbule.types.declarations import by_class
from barbule.types.declarations.nested import optional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barbule.io.export_rows import ExportRows
    from barbule.io.input_files import File
    from barbule.media.library import MediaLibrary

__all__ = ["KEY", "read_webdataset", "write_webdataset"]

KEY = "key"
_SCHEMA_SAMPLES = 100  # from which the columns are inferred
_ROWS_PER_BATCH = 1024
_SHARD_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_TEXT_SUFFIXES = frozenset(("txt", "text", "transcript"))
_COUNT_SUFFIXES = frozenset(("cls", "cls2", "index", "count", "inx", "id"))
_JSON_SUFFIXES = frozenset(("json", "jsn"))

_ARCHIVE_HINT = "Add it to the archive as a member of its sample."

_Sample = dict[str, bytes]
MemberType: TypeAlias = dt.DataType | type[Media]


def read_webdataset(source: str | os.PathLike[str], library: MediaLibrary) -> Rows:
    """Read the samples of tar files as rows; see `Session.read_webdataset`."""
    pattern = os.fspath(source)
    files = [file for shard in _expand_shards(pattern) for file in find_files(shard, library)]
    limit = library.max_bytes
    first = list(itertools.islice(_samples(files[0], limit), _SCHEMA_SAMPLES))
    if not first:
        raise DataError(f"the file {files[0].label!r} holds no samples.", hint="Check the file.")
    members = dict.fromkeys(member for _, sample in first for member in sample)
    columns = {member: _column_of(member) for member in members}
    kinds: dict[str, Any] = {KEY: dt.string}
    for member, column in columns.items():
        kind = _member_kind(member, [sample[member] for _, sample in first if member in sample])
        if column == KEY or kinds.setdefault(column, kind) != kind:
            raise DataError(
                f"members with different suffixes map to the same column {column!r} in "
                f"{files[0].label!r}.",
                hint="Rename the members of the samples.",
            )

    def read() -> Iterator[tuple[str | None, dict[str, Any]]]:
        for file in files:
            containment = DataSetRoot(None, f"the file {file.label!r}", None, _ARCHIVE_HINT)
            for key, sample in _samples(file, limit):
                row: dict[str, Any] = {KEY: key}
                for member, data in sample.items():
                    column = _column_of(member)
                    location = f"{file.label}: {key}.{member}"
                    row[column] = containment.contained_values(
                        _member_value(data, member, kinds.get(column), location)
                    )
                yield file.label, row

    return Rows(kinds, read, f"the samples of {pattern!r}", "json")


def _expand_shards(source: str) -> list[str]:
    """Expand `{000..002}` in the name of shards, as WebDataset does."""
    match = _SHARD_RANGE.search(source)
    if not match:
        return [source]
    first, last = match[1], match[2]
    numbers = range(int(first), int(last) + 1)
    return [
        shard
        for number in numbers
        for shard in _expand_shards(
            f"{source[: match.start()]}{number:0{len(first)}}{source[match.end() :]}"
        )
    ]


def _column_of(member: str) -> str:
    """Return the column of a member: its name without the suffix, if it has one."""
    return member.rpartition(".")[0] or member


def _ending(member: str) -> str:
    return member.rpartition(".")[2].lower()


def _member_kind(member: str, contents: list[bytes]) -> MemberType:
    suffix = _ending(member)
    if suffix in _TEXT_SUFFIXES:
        return dt.string
    if suffix in _JSON_SUFFIXES:
        return _json_kind(contents)
    if suffix in _COUNT_SUFFIXES:
        return (
            dt.int64
            if all(content.strip().lstrip(b"-").isdigit() for content in contents)
            else dt.string
        )
    kind = ENDINGS.get(suffix)
    return dt.binary if kind is None else kind


def _json_kind(contents: list[bytes]) -> MemberType:
    """Infer the type of JSON values; `Json` if they have no common type."""
    try:
        values = [{"value": json.loads(content)} for content in contents]
        kind = infer(values)["value"]
    except (ValueError, SchemaError):
        return Json()
    return kind


def _samples(file: File, limit: int) -> Iterator[tuple[str, _Sample]]:
    """Read the samples of a tar file; only one is in memory at a time.

    Raises
    ------
    DataError
        If the file is damaged or truncated, or one of its members is too large.
    MediaError
        If a member's name points outside the archive.
    """
    key: str | None = None
    sample: _Sample = {}
    with open_tar_file(file) as members:
        for member, archive in members:
            parts = _key_and_column(member, file, limit)
            if parts is None:
                continue
            current_key, suffix = parts
            if current_key != key and key is not None:
                yield key, sample
                sample = {}
            key = current_key
            if suffix in sample:
                raise DataError(
                    f"{member.name!r} occurs twice in {file.label!r}.",
                    hint="The members of a sample must be adjacent, and each must occur once.",
                )
            content = archive.extractfile(member)
            sample[suffix] = b"" if content is None else content.read()
    if key is not None:
        yield key, sample


def _key_and_column(member: tarfile.TarInfo, file: File, limit: int) -> tuple[str, str] | None:
    """Split the name of a member into the key of its sample and its column; None for others."""
    check_member(member.name, file.label)
    folder, _, name = member.name.rpartition("/")
    stem, dot, suffix = name.partition(".")
    if not member.isfile() or not stem or not dot:
        return None
    if member.size > limit:
        raise DataError(
            f"{member.name!r} in {file.label!r} is larger than {limit} bytes.",
            hint="Raise max_bytes in [media] of the configuration.",
        )
    return (f"{folder}/{stem}" if folder else stem), suffix


def _member_value(data: bytes, member: str, kind: MemberType | None, location: str) -> Any:
    """Read the content of a member as a value of its column."""
    if kind is Document:
        return {"bytes": data, "path": member}  # the suffix distinguishes Markdown from plain text
    if kind is None or (isinstance(kind, type) and issubclass(kind, Media)) or kind is dt.binary:
        return data
    try:
        text = data.decode("utf-8")
        if kind is dt.string and _ending(member) not in _JSON_SUFFIXES:
            return text
        return int(text) if kind is dt.int64 and "." not in text else json.loads(text)
    except ValueError as error:
        raise DataError(
            f"the member {location!r} has another type than those before it: {error}.",
            hint="Correct it, or remove it.",
        ) from error


def write_webdataset(
    rows: ExportRows, target: str | os.PathLike[str], key: str | None, max_bytes: int
) -> list[str]:
    """Write rows as samples of one tar file, or of several if the name has a `%d`.

    Returns
    -------
    list of str
        The paths of the files.
    """
    pattern = os.fspath(target)
    numbered = "%" in pattern
    try:
        first = pattern % 0 if numbered else pattern
    except (TypeError, ValueError):
        raise DataError(
            f"{pattern!r} must have exactly one place for a number.",
            hint='For example "shard-%06d.tar".',
        ) from None
    members = _member_writers(rows, key)
    written: list[str] = []
    batches = rows.batches(_ROWS_PER_BATCH)
    samples = enumerate(itertools.chain.from_iterable(batch.to_pylist() for batch in batches))
    sample = next(samples, None)
    used_keys: set[str] = set()
    while sample is not None or not written:
        shard = pattern % len(written) if numbered else first
        path = check_target(shard) or expand_user(shard)
        written.append(str(path))
        with write_atomically(path) as file, tarfile.open(fileobj=file, mode="w") as archive:
            while sample is not None:
                number, row = sample
                name = _sample_key(row, key, number, used_keys)
                for column, write in members.items():
                    if row[column] is not None:
                        suffix, data = write(row[column])
                        _add(archive, f"{name}.{suffix}", data)
                sample = next(samples, None)
                if numbered and archive.offset >= max_bytes:
                    break
    return written


_MemberContent = tuple[str, "bytes | Path"]


def _member_writers(
    rows: ExportRows, key: str | None
) -> dict[str, Callable[[Any], _MemberContent]]:
    """Return for each column the function that converts a cell to a member."""
    writers: dict[str, Callable[[Any], _MemberContent]] = {}
    for column, kind in rows.schema.items():
        if column == (key or KEY):
            continue
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", column):
            raise SchemaError(
                "this is not a valid name for a member of a tar file.",
                column=column,
                hint="Select it under another name, with letters, digits, '_' and '-'.",
            )
        writers[column] = _writer(column, kind, rows.library)
    return writers


def _writer(
    column: str, kind: dt.DataType, library: MediaLibrary
) -> Callable[[Any], _MemberContent]:
    if declaration(kind).is_media:

        def media(reference: str) -> _MemberContent:
            path = library.path(reference)
            suffix = file_ending(reference, path)
            return _member(column, suffix, suffix if ENDINGS.get(suffix) else column), path

        return media
    suffix, encode = by_class(_MEMBERS, kind) or ("json", _json_encoder(kind))
    name = _member(column, suffix, column)
    return lambda value: (name, encode(value))


_MEMBERS: dict[type[dt.DataType], tuple[str, Callable[[Any], bytes]]] = {
    dt.String: ("txt", str.encode),
    dt.Integer: ("cls", lambda number: str(number).encode()),
    dt.Binary: ("bin", bytes),
}
"""The suffix and the content of the members for values of a type; others are JSON."""


def _json_encoder(kind: dt.DataType) -> Callable[[Any], bytes]:
    write = json_writer(kind)
    return lambda value: to_readable(optional(write, value)).encode()


def _member(column: str, suffix: str, plain: str) -> str:
    """Return the name of a member, without repeating the suffix if it is the column's name."""
    is_suffix_name = column.lower() == suffix or (column == plain and _share_group(column, suffix))
    return column if is_suffix_name else f"{column}.{suffix}"


def _share_group(column: str, suffix: str) -> bool:
    groups: tuple[frozenset[str], ...] = (_TEXT_SUFFIXES, _COUNT_SUFFIXES, _JSON_SUFFIXES)
    return any(column in group and suffix in group for group in groups)


def _sample_key(row: dict[str, Any], key: str | None, number: int, used_keys: set[str]) -> str:
    value = row.get(key or KEY)
    if value is None:
        return f"{number:08d}"
    name = str(value)
    check_member(name, f"row {number}")
    if not name or "." in name.rpartition("/")[2] or name in used_keys:
        raise DataError(
            "the key of a sample must be a unique string without dots.",
            column=key or KEY,
            row=number,
            value=value,
            hint="Pass another column as key=, or leave key= out to number the rows.",
        )
    used_keys.add(name)
    return name


def _add(archive: tarfile.TarFile, name: str, data: bytes | Path) -> None:
    member = tarfile.TarInfo(name)
    if isinstance(data, Path):
        member.size = data.stat().st_size
        with data.open("rb") as file:
            archive.addfile(member, file)
    else:
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
