"""Methods that write the rows of a query as a data set of another library.

Owns their signatures and documentation; the engine has the writers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.types as ir

from barbule.errors import ExpressionError
from barbule.suggestions import check_methods

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import datasets
    import torch

    from barbule.relations.query_backend import QueryEngine

__all__ = ["Exports", "engine_of"]


def engine_of(query: ir.Table) -> QueryEngine:
    """Return the engine behind a query.

    Raises
    ------
    ExpressionError
        If it reads no barbule table.
    """
    engine: QueryEngine = query._find_backend(use_default=True)
    if not hasattr(engine, "collect"):
        raise ExpressionError(
            "this query reads no barbule table.",
            hint="Use to_pyarrow() or to_pandas() of Ibis.",
        )
    return engine


@check_methods
class Exports:
    """Methods of queries that write data sets, including media files."""

    __slots__ = ()

    def to_folder(
        self, path: str | os.PathLike[str], *, column: str | None = None, name: str | None = None
    ) -> int:
        """Write the media files of a column into a new folder.

        The other columns go into `metadata.jsonl` in the folder, with one line per row and the key
        `file_name`, as for Hugging Face's ImageFolder.

        Parameters
        ----------
        path
            The folder; it must be new or empty.
        column
            The media column, if there is more than one.
        name
            A column with the names of the files, including folders. By default files keep their
            names, and files from the media store get the number of their row.

        Returns
        -------
        int
            The number of files that were written.

        Examples
        --------
        >>> import barbule as bb, PIL.Image
        >>> photos = bb.create_table("photos", {"title": bb.String, "img": bb.Image})
        >>> _ = photos.insert(title="red", img=PIL.Image.new("RGB", (2, 2), "red"))
        >>> photos.to_folder("out", name="title")
        1
        >>> [row["name"] for row in bb.read_folder("out")]
        ['red.png']
        """
        return engine_of(self).write("folder", self, path, column, name)

    def to_webdataset(
        self,
        path: str | os.PathLike[str],
        *,
        key: str | None = None,
        max_bytes: int = 1_000_000_000,
    ) -> list[str]:
        """Write rows as samples of WebDataset tar files.

        A column `image` becomes the member `<key>.image.jpg` of its sample; strings, integers and
        other values are written as `txt`, `cls` and `json`. Missing values are omitted.

        Parameters
        ----------
        path
            The file; or several, if it has a place for a number ("shard-%06d.tar").
        key
            The column with the keys of the samples; by default "key" if it exists, otherwise rows
            are numbered.
        max_bytes
            The size at which a new file is started.

        Returns
        -------
        list of str
            The paths of the files.

        Examples
        --------
        >>> import barbule as bb, PIL.Image
        >>> photos = bb.create_table("photos", {"title": bb.String, "img": bb.Image})
        >>> _ = photos.insert(title="red", img=PIL.Image.new("RGB", (2, 2), "red"))
        >>> photos.to_webdataset("shard-%03d.tar")
        ['shard-000.tar']
        >>> bb.read_webdataset("shard-{000..000}.tar").columns
        ('key', 'title', 'img')
        """
        return engine_of(self).write("webdataset", self, path, key, max_bytes)

    def to_parquet(
        self, path: str | os.PathLike[str], /, *, embed_media: bool = False, **options: Any
    ) -> None:
        """Write rows to a Parquet file.

        Parameters
        ----------
        path
            The file.
        embed_media
            Whether to embed media files in the file, as Hugging Face's `datasets` does, instead of
            their references.
        options
            The arguments of Ibis' `to_parquet`, if no media files are embedded.

        Examples
        --------
        >>> import barbule as bb, PIL.Image
        >>> photos = bb.create_table("photos", {"title": bb.String, "img": bb.Image})
        >>> _ = photos.insert(title="red", img=PIL.Image.new("RGB", (2, 2), "red"))
        >>> photos.to_parquet("photos.parquet", embed_media=True)
        >>> bb.create_table("again", bb.read_parquet("photos.parquet")).collect()[0, "img"].size
        (2, 2)
        """
        if embed_media:
            engine_of(self).write("parquet", self, path)
        else:
            ir.Table.to_parquet(self, path, **options)

    def to_xlsx(
        self,
        path: str | os.PathLike[str],
        /,
        *,
        sheet: str = "Sheet1",
        header: bool = True,
        **options: Any,
    ) -> None:
        """Write rows as a sheet of an Excel file.

        Values that Excel cannot represent are written as strings that `insert` reads again: nested
        values and Json as JSON, bytes as base64, and numbers and timestamps with more precision
        than Excel stores.

        Parameters
        ----------
        path
            The file.
        sheet
            The name of the sheet.
        header
            Whether the first row contains the column names, as `insert` expects.
        options
            `params` and `limit`, as for Ibis' `to_csv`.

        Raises
        ------
        DataError
            If a string has more than 32,767 characters, or control characters.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"name": bb.String, "year": bb.Int})
        >>> _ = films.insert(name="Up", year=2009)
        >>> films.to_xlsx("films.xlsx")
        >>> films.insert("films.xlsx").rows
        1
        """
        ir.Table.to_xlsx(self, path, sheet=sheet, header=header, **options)

    def to_huggingface(self) -> datasets.Dataset:
        """Return the rows as a `datasets.Dataset`, with its image, audio and video types.

        Local files are referenced by path; other files are held in memory.

        Raises
        ------
        UnsupportedError
            If `datasets` is not installed: `pip install 'barbule[datasets]'`.
        """
        return engine_of(self).write("huggingface", self)

    def to_coco(
        self, path: str | os.PathLike[str], *, column: str | None = None, boxes: str = "boxes"
    ) -> int:
        """Write images and their boxes as a COCO data set into a new folder.

        Parameters
        ----------
        path
            The folder: `images/` and `annotations.json` are created in it.
        column
            The image column, if there is more than one.
        boxes
            The column with the boxes: lists of structs with `label`, `x`, `y`, `width` and
            `height`, in pixels.

        Returns
        -------
        int
            The number of images that were written.
        """
        return engine_of(self).write("coco", self, path, column, boxes)

    def to_pytorch_dataset(
        self, *, transform: Callable[[dict[str, Any]], Any] | None = None
    ) -> torch.utils.data.IterableDataset:
        """Return the rows as a `torch.utils.data.IterableDataset` for a `DataLoader`.

        The query runs now. Its rows are written to a temporary file, with media as references, so
        that the workers of the loader (forked or not) read their share without the database.

        Parameters
        ----------
        transform
            Returns the item for a row (a dict; images are PIL images). Without it items are the
            rows, with images as `uint8` tensors of channels, height and width, vectors and lists of
            numbers as tensors, and NaN for missing floats.

        Raises
        ------
        UnsupportedError
            If torch is not installed.
        """
        return engine_of(self).write("pytorch", self, transform)
