"""The `read_...` verbs of a session: data sets as rows.

Holds their documentation; each calls the module of its format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.suggestions import check_methods

if TYPE_CHECKING:
    import os

    from barbule.executor.engine import Engine
    from barbule.io.lazy_rows import Rows
    from barbule.types import Media

__all__ = ["DataSetReaders"]


@check_methods
class DataSetReaders:
    """The verbs of a session that read files of data sets as rows."""

    _engine: Engine

    def read_folder(
        self,
        pattern: str | os.PathLike[str],
        *,
        kind: type[Media] | Media | str | None = None,
        column: str | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> Rows:
        """Read the files of a folder as rows, for `create_table` and `insert`.

        Their content is not read; the media column refers to it. Beside it there are `path`,
        `name`, `size` in bytes, `modified` and `media_type`; and, of a folder, what
        `metadata.jsonl` says of its files, as `to_folder` writes it and Hugging Face's
        ImageFolder has it.

        Parameters
        ----------
        pattern
            A folder (with those below; hidden files are left out), or a pattern:
            "photos/**/*.jpg", "s3://bucket/photos/*.png".
        kind
            `bb.Image`, `bb.Audio`, `bb.Video` or `bb.Document`; by default what all files are
            by their names.
        column
            The name of the media column: "image", "audio", "video" or "document" by default.
        root
            The folder within which links may lead; by default the folder that is read.

        Raises
        ------
        DataError
            When there is no such file, files are of several types, or `metadata.jsonl` is wrong.

        Examples
        --------
        >>> import barbule as bb, pathlib
        >>> pathlib.Path("notes").mkdir()
        >>> _ = pathlib.Path("notes/a.txt").write_text("A barbule hooks.")
        >>> notes = bb.create_table("notes", bb.read_folder("notes/*.txt"))
        >>> notes.collect()[0, "name"], notes.collect()[0, "size"]
        ('a.txt', 16)
        """
        from barbule.io.formats.folder import read_folder

        return read_folder(pattern, kind, column, root, library=self._engine.library)

    def read_webdataset(self, path: str | os.PathLike[str]) -> Rows:
        """Read the samples of WebDataset tar files as rows, one after the other.

        Each kind of member is a column: `0001.jpg` is `jpg`, `0001.image.jpg` is `image`; the
        key of the sample is `key`. Columns are found in the first samples.

        Parameters
        ----------
        path
            A file, a pattern, a URL, or shards: "train-{000..127}.tar".

        Raises
        ------
        DataError
            When a file is missing, cut off or no tar file.
        """
        from barbule.io.formats.webdataset import read_webdataset

        return read_webdataset(path, self._engine.library)

    def read_parquet(
        self, path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None
    ) -> Rows:
        """Read Parquet files in which media are embedded, as Hugging Face's `datasets` does.

        Columns that hold structs of `bytes` and `path` are media; all others are as they are.

        Parameters
        ----------
        path
            A file, a pattern or a URL.
        root
            The folder whose files a `path` without `bytes` may name; by default that of the
            file, to which relative paths belong.

        Raises
        ------
        DataError
            When a file is missing, damaged or no Parquet file; or names files elsewhere.
        """
        from barbule.io.formats.parquet import read_parquet

        return read_parquet(path, self._engine.library, root)

    def read_huggingface(self, dataset: object) -> Rows:
        """Read a data set of Hugging Face's `datasets` as rows; tables take it as it is, too.

        Images, sounds and videos are media columns, classes are their names; a `DatasetDict` has
        the column `split`.

        Parameters
        ----------
        dataset
            A `Dataset`, `IterableDataset`, `DatasetDict` or `IterableDatasetDict`.
        """
        from barbule.io.formats.huggingface import read_huggingface

        return read_huggingface(dataset)

    def read_coco(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        root: str | os.PathLike[str] | None = None,
    ) -> Rows:
        """Read a COCO data set as rows, one for each image.

        Columns are `image`, `id`, `file_name`, `width`, `height` and `boxes`: a list of structs
        with `label`, `x`, `y`, `width`, `height`, `area`, `iscrowd` and `segmentation` (JSON).

        Parameters
        ----------
        annotations
            The JSON file.
        images
            The folder of the images; that of the file by default.
        root
            The folder within which links may lead; by default that of the images.
        """
        from barbule.io.formats.coco import read_coco

        return read_coco(annotations, images, root)
