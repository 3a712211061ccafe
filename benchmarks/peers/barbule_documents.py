"""barbule: a view of chunks over one document, as users make it."""

from __future__ import annotations

from pathlib import Path

from serve import Work, serve

import barbule as bb


class Barbule:
    """A session in a fresh home."""

    library = "barbule"

    def __init__(self, home: Path, folder: str) -> None:
        self.folder = Path(folder)
        self.session = bb.connect(home=home, vectors="exact:")

    def close(self) -> None:
        """Leave the database."""
        self.session.close()

    def _view(self, kind: str) -> Work:
        docs = bb.create_table("docs", {"doc": bb.Document}, if_exists="replace_force")
        docs.insert(doc=self.folder / f"whole.{kind}")
        iterator = bb.functions.DocumentSplitter.create(
            document=docs.doc, separators="char_limit", limit=300, overlap=50
        )
        return (
            lambda: bb.create_view("chunks", docs, iterator=iterator),
            lambda chunks: chunks.count().to_pyarrow().as_py(),
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
    serve(Barbule)
