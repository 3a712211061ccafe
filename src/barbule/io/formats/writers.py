"""The writers of data sets by the name of their format; each is imported when it is used."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from barbule.locations import write_errors

if TYPE_CHECKING:
    from barbule.io.export_rows import ExportRows

__all__ = ["write"]

_WRITERS = {
    "coco": ("barbule.io.formats.coco", "write_coco"),
    "folder": ("barbule.io.formats.folder", "write_folder"),
    "huggingface": ("barbule.io.formats.huggingface", "to_huggingface"),
    "parquet": ("barbule.io.formats.parquet", "write_parquet"),
    "pytorch": ("barbule.io.formats.pytorch", "to_pytorch"),
    "webdataset": ("barbule.io.formats.webdataset", "write_webdataset"),
}

_FILE_FORMATS = {"coco", "folder", "parquet", "webdataset"}  # whose first argument is a path


def write(form: str, rows: ExportRows, *arguments: Any) -> Any:
    """Write rows in a format; see its writer."""
    module, name = _WRITERS[form]
    writer = getattr(importlib.import_module(module), name)
    with write_errors(
        repr(os.fspath(arguments[0])) if form in _FILE_FORMATS else "a temporary file"
    ):
        return writer(rows, *arguments)
