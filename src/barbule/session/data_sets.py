"""The `read_...` verbs of a session: data sets as rows.

Holds their documentation; each verb calls the module of its format.
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

        The content of the files is not read; the media column refers to them. The other columns are
        `path`, `name`, `size` in bytes, `modified` and `media_type`; and, for a folder, the columns
        of `metadata.jsonl`, as `to_folder` and Hugging Face's ImageFolder write it.

        Parameters
        ----------
        pattern
            A folder (including subfolders; hidden files are skipped), or a pattern:
            "photos/**/*.jpg", "s3://bucket/photos/*.png".
        kind
            `bb.Image`, `bb.Audio`, `bb.Video` or `bb.Document`; by default inferred from the file
            names.
        column
            The name of the media column: "image", "audio", "video" or "document" by default.
        root
            The folder within which links may point; by default the folder that is read.

        Raises
        ------
        DataError
            If there is no such file, files are of several types, or `metadata.jsonl` is invalid.

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
        """Read the samples of WebDataset tar files as rows, in order.

        Each member suffix is a column: `0001.jpg` is `jpg`, `0001.image.jpg` is `image`; the key of
        the sample is `key`. Columns are inferred from the first samples.

        Parameters
        ----------
        path
            A file, a pattern, a URL, or shards: "train-{000..127}.tar".

        Raises
        ------
        DataError
            If a file is missing, truncated or not a tar file.
        """
        from barbule.io.formats.webdataset import read_webdataset

        return read_webdataset(path, self._engine.library)

    def read_parquet(
        self, path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None
    ) -> Rows:
        """Read Parquet files with embedded media files, as written by Hugging Face's `datasets`.

        Columns that hold structs of `bytes` and `path` become media columns; all others are
        unchanged.

        Parameters
        ----------
        path
            A file, a pattern or a URL.
        root
            The folder whose files a `path` without `bytes` may name; by default the folder of the
            file, to which relative paths refer.

        Raises
        ------
        DataError
            If a file is missing, damaged or not a Parquet file; or names files elsewhere.
        """
        from barbule.io.formats.parquet import read_parquet

        return read_parquet(path, self._engine.library, root)

    def read_huggingface(self, dataset: object) -> Rows:
        """Read a Hugging Face data set as rows; tables also accept it directly.

        Images, audio and videos are media columns, class labels are converted to names; a
        `DatasetDict` has the column `split`.

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

        The columns are `image`, `id`, `file_name`, `width`, `height` and `boxes`: a list of structs
        with `label`, `x`, `y`, `width`, `height`, `area`, `iscrowd` and `segmentation` (JSON).

        Parameters
        ----------
        annotations
            The JSON file.
        images
            The folder of the images; by default the folder of the file.
        root
            The folder within which links may point; by default the folder of the images.
        """
        from barbule.io.formats.coco import read_coco

        return read_coco(annotations, images, root)
