"""The local files that a data set may refer to: those in its own folder.

Checks paths and links. A path outside the folder is refused unless the user has allowed a folder
that contains it: a data set may come from somebody else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from barbule.errors import DataError
from barbule.locations import expand_user
from barbule.media.fetching.fetcher import Fetcher

if TYPE_CHECKING:
    import pyarrow as pa

    from barbule.io.input_files import File

__all__ = ["DataSetRoot", "contained_media", "is_embedded"]

_EMBEDDED_FIELDS = frozenset(("bytes", "path"))
_STORE_PREFIX = "media:"
_FRAME_PREFIX = "frame:"


class DataSetRoot:
    """The folder whose files a data set may refer to.

    Parameters
    ----------
    folder
        The data set's own folder; None if it has none on this machine.
    label
        The name of the data set in messages.
    root
        A folder that the user allows instead.
    hint
        How the user allows another folder, for messages.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp()).resolve()
    >>> root = DataSetRoot(folder, "a.parquet", None, "root=")
    >>> root.reference("images/a.png") == str(folder / "images" / "a.png")
    True
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        label: str,
        root: str | os.PathLike[str] | None = None,
        hint: str = "If you trust the data set, pass root= a folder that contains the file.",
    ) -> None:
        self._folder = None if folder is None else expand_user(folder).absolute()
        allowed = self._folder if root is None else expand_user(root)
        self._allowed = None if allowed is None else os.path.realpath(allowed)
        self._is_given = root is not None
        self._label = label
        self._hint = hint
        self._parents: dict[str, str] = {}

    @classmethod
    def of(
        cls, file: File, root: str | os.PathLike[str] | None = None, hint: str | None = None
    ) -> DataSetRoot:
        """Return the root of a data set that is one file: its folder."""
        local = file.filesystem is None and not file.label.startswith(("http://", "https://"))
        folder = Path(file.path).parent if local else None
        label = f"the file {file.label!r}"
        return cls(folder, label, root) if hint is None else cls(folder, label, root, hint)

    def reference(self, reference: str) -> str:
        """Return a checked reference for a cell; relative paths start at the folder.

        Absolute paths, and those of hidden files, are allowed only if the user has allowed a
        folder.

        Raises
        ------
        DataError
            If it refers to a local file that is not allowed.
        """
        if reference.startswith(_STORE_PREFIX) or not (
            reference.startswith(_FRAME_PREFIX) or Fetcher.is_local(reference)
        ):
            return reference
        if reference.startswith(_FRAME_PREFIX):  # it contains a path
            raise self._refusal(reference)
        path = url2pathname(urlsplit(reference).path) if _is_file_uri(reference) else reference
        own = not Path(path).is_absolute() and not any(map(_is_hidden, Path(path).parts))
        if "\0" in path or not (own or self._is_given):
            raise self._refusal(reference)
        full_path = Path(path) if self._folder is None else self._folder / path
        if not full_path.is_absolute():
            raise self._refusal(reference)
        self.check(full_path)
        return str(full_path)

    def check(self, file: Path) -> None:
        """Refuse a file outside the folder, including targets of links."""
        parent = str(file.parent)
        if parent not in self._parents:
            self._parents[parent] = os.path.realpath(parent)
        real = os.path.join(self._parents[parent], file.name)  # noqa: PTH118 - for many files
        if os.path.islink(real) or file.name == "..":  # noqa: PTH114 - never raises
            real = os.path.realpath(real)
        if self._allowed is None or not Path(real).is_relative_to(self._allowed):
            raise self._refusal(str(file), real)

    def contained_values(self, value: Any) -> Any:
        """Check the references of embedded media without content in a value; return the value."""
        if isinstance(value, dict):
            if value.keys() == _EMBEDDED_FIELDS:
                path = value["path"]
                if value["bytes"] is not None or not isinstance(path, str):
                    return value
                return {"bytes": None, "path": self.reference(path)}
            return {name: self.contained_values(field_value) for name, field_value in value.items()}
        if isinstance(value, list):
            return [self.contained_values(item) for item in value]
        return value

    def _refusal(self, path: str, real: str | None = None) -> DataError:
        link = f", a link to {real!r}," if real is not None and real != path else ""
        return DataError(
            f"{self._label} refers to a file outside its own folder: {path!r}{link} is not read.",
            hint=self._hint,
        )


def _is_hidden(part: str) -> bool:
    return part.startswith(".") and part != ".."  # ".." is refused by the check of the folder


def _is_file_uri(reference: str) -> bool:
    return reference[:5].lower() == "file:"


def is_embedded(kind: pa.DataType) -> bool:
    """Whether an Arrow type is that of embedded media: a struct of `bytes` and `path`."""
    import pyarrow as pa

    return (
        pa.types.is_struct(kind)
        and {kind.field(index).name for index in range(kind.num_fields)} == _EMBEDDED_FIELDS
    )


def _holds_embedded(kind: pa.DataType) -> bool:
    fields = [kind.field(index) for index in range(kind.num_fields)]
    return is_embedded(kind) or any(_holds_embedded(field.type) for field in fields)


def contained_media(rows: pa.Table, root: DataSetRoot) -> pa.Table:
    """Return rows whose embedded media refer only to files that may be read.

    Raises
    ------
    DataError
        If one refers to a file that is not allowed; the error has its column and row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for index, field in enumerate(rows.schema):
        if not _holds_embedded(field.type):
            continue
        column = rows.column(index)
        if is_embedded(field.type):
            content, path = (pc.struct_field(column, name) for name in ("bytes", "path"))
            if not pc.any(pc.and_(pc.is_null(content), pc.is_valid(path))).as_py():
                continue
        cells = []
        for row, cell in enumerate(column.to_pylist()):
            try:
                cells.append(root.contained_values(cell))
            except DataError as error:
                raise error.at(column=field.name, row=row) from error.__cause__
        rows = rows.set_column(index, field, pa.chunked_array([pa.array(cells, field.type)]))
    return rows
