"""Pixeltable: a view of chunks over one document, cut by its character limit.

It reads Markdown with mistune and DOCX with markitdown, which it does not install itself.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pixeltable as pxt
from pixeltable.functions.document import document_splitter
from pixeltable_tables import Pixeltable as Home
from serve import Work, serve

_NEEDS = {"md": ("mistune",), "docx": ("mistune", "markitdown")}


class Pixeltable(Home):
    """A home with its server."""

    def __init__(self, home: Path, folder: str) -> None:
        super().__init__(home, folder)  # type: ignore[arg-type]
        self.folder = Path(folder)

    def __getattribute__(self, name: str) -> Any:
        if not all(map(importlib.util.find_spec, _NEEDS.get(name, ()))):
            raise AttributeError(name)
        return super().__getattribute__(name)

    def _view(self, kind: str) -> Work:
        docs = pxt.create_table("docs", {"doc": pxt.Document}, if_exists="replace_force")
        docs.insert(doc=str(self.folder / f"whole.{kind}"))
        iterator = document_splitter(docs.doc, separators="char_limit", limit=300, overlap=50)
        return (
            lambda: pxt.create_view("chunks", docs, iterator=iterator),
            lambda chunks: chunks.count(),
        )

    def txt(self) -> Work:
        return self._view("txt")

    def md(self) -> Work:
        return self._view("md")

    def html(self) -> Work:
        return self._view("html")

    def docx(self) -> Work:
        return self._view("docx")

    def pdf(self) -> Work:
        return self._view("pdf")


if __name__ == "__main__":
    serve(Pixeltable)
