"""The writers of data sets, by the name of their form.

Owns the table; each module is loaded when its form is written.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from barbule.media.places import storing

if TYPE_CHECKING:
    from barbule.io.exported import Exported

__all__ = ["write"]

_WRITERS = {
    "coco": ("barbule.io.coco", "write_coco"),
    "folder": ("barbule.io.folder", "write_folder"),
    "huggingface": ("barbule.io.huggingface", "to_huggingface"),
    "parquet": ("barbule.io.parquet", "write_parquet"),
    "pytorch": ("barbule.io.pytorch", "to_pytorch"),
    "webdataset": ("barbule.io.webdataset", "write_webdataset"),
}

_TO_FILES = {"coco", "folder", "parquet", "webdataset"}  # whose first argument is the place


def write(form: str, rows: Exported, *arguments: Any) -> Any:
    """Write rows in a form; see its writer."""
    module, name = _WRITERS[form]
    writer = getattr(importlib.import_module(module), name)
    with storing(repr(os.fspath(arguments[0])) if form in _TO_FILES else "a temporary file"):
        return writer(rows, *arguments)
