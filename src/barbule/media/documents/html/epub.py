"""The EPUB reader: a zip archive of pages, in reading order.

Owns how the package of a book is found and ordered. `html` reads the pages.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from barbule.errors import MediaError
from barbule.media.documents.blocks import Block, DamagedTreeError, DocumentText
from barbule.media.documents.html.html import read_html
from barbule.media.documents.text.xml_text import parse_xml
from barbule.media.documents.zip_documents import open_archive

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path
    from xml.parsers import expat

__all__ = ["read_epub"]

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGE_TYPES = {
    "application/xhtml+xml",
    "application/x-dtbook+xml",
    "text/html",
    "text/x-oeb1-document",
}
_PAGE_SUFFIXES = (".xhtml", ".html", ".htm")
_FONT_SUFFIXES = (".otf", ".ttf", ".woff", ".woff2")
_METADATA = {
    "creator": "author",
    "language": "language",
    "date": "created",
    "publisher": "publisher",
    "subject": "subject",
    "description": "description",
}


def read_epub(path: Path, hint: str) -> DocumentText:
    """Read a book: its chapters in order, with their headings.

    Parameters
    ----------
    path
        The file.
    hint
        The hint for a damaged file.

    Returns
    -------
    DocumentText
        A book has no pages of its own. Chapters without a heading use the title of their page as
        their heading.

    Raises
    ------
    MediaError
        If it is damaged or protected.
    """
    with open_archive(path, hint) as archive:
        names = set(archive.namelist())
        _check_protection(archive, names, path)
        package = _package_path(archive)
        if package not in names:
            raise DamagedTreeError("its package file is missing")
        book = _PackageDocument()
        parse_xml(archive.read(package), book)
        folder = posixpath.dirname(package)
        blocks: list[Block] = []
        left_out: dict[str, None] = dict.fromkeys(["pages outside of the order"] * book.nonlinear)
        for identifier in book.spine:
            href, media_type = book.items.get(identifier, ("", ""))
            name = posixpath.normpath(posixpath.join(folder, unquote(href)))
            if name not in names:
                left_out["pages that are missing"] = None
            elif media_type in _PAGE_TYPES or name.lower().endswith(_PAGE_SUFFIXES):
                page = read_html(archive.read(name), xml=media_type == "application/xhtml+xml")
                blocks.extend(_chapter(page, blocks[-1].section + 1 if blocks else 0))
                left_out.update(dict.fromkeys(page.left_out))
            else:
                left_out["pages that are pictures"] = None
    title = " ".join(book.values.pop("title", "").split()) or None
    metadata = {
        _METADATA[key]: " ".join(value.split())
        for key, value in book.values.items()
        if value.strip()
    }
    return DocumentText(title, tuple(blocks), metadata, left_out=tuple(left_out))


def _chapter(page: DocumentText, first: int) -> list[Block]:
    """Return the blocks of a page, its sections numbered from `first`.

    Blocks without a heading get the title of the page.
    """
    return [
        block._replace(
            heading=block.heading or page.title,
            sourceline=None,
            section=first + block.section if block.heading else 0,
        )
        for block in page.blocks
    ]


def _check_protection(archive: zipfile.ZipFile, names: set[str], path: Path) -> None:
    if _ENCRYPTION not in names:
        return
    encrypted = _attributes(archive.read(_ENCRYPTION), "CipherReference", "URI")
    # Fonts are often obfuscated, which does not protect the text.
    if not all(name.lower().endswith(_FONT_SUFFIXES) for name in encrypted):
        raise MediaError(
            f"{path} is a protected EPUB: its text is encrypted.",
            hint="Use a copy without protection.",
        )


def _package_path(archive: zipfile.ZipFile) -> str:
    paths = _attributes(archive.read(_CONTAINER), "rootfile", "full-path")
    if not paths:
        raise DamagedTreeError("its container names no package")
    return paths[0]


def _attributes(source: bytes, tag: str, name: str) -> list[str]:
    """Return an attribute of all elements of a name."""
    collector = _AttributeCollector(tag, name)
    parse_xml(source, collector)
    return collector.values


class _AttributeCollector:
    encoding = None

    def __init__(self, tag: str, name: str) -> None:
        self.values: list[str] = []
        self._tag, self._name = tag, name

    def attach(self, parser: expat.XMLParserType) -> None:
        parser.StartElementHandler = self._start

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag.rsplit(":", 1)[-1] == self._tag and attributes.get(self._name):
            self.values.append(attributes[self._name])


class _PackageDocument:
    """The contents of a package: metadata, the files, and the reading order."""

    encoding = None

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.items: dict[str, tuple[str, str]] = {}
        self.spine: list[str] = []
        self.nonlinear = 0  # pages that are in the spine but not in the reading order
        self._field: str | None = None
        self._filled: set[str] = set()

    def attach(self, parser: expat.XMLParserType) -> None:
        parser.StartElementHandler = self._start
        parser.CharacterDataHandler = self._characters

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rsplit(":", 1)[-1]
        if self._field is not None and self.values.get(self._field):
            self._filled.add(self._field)
        is_metadata = name in _METADATA or name == "title"
        self._field = name if is_metadata and name not in self._filled else None
        if name == "item":
            href, media_type = attributes.get("href", ""), attributes.get("media-type", "")
            self.items[attributes.get("id", "")] = (href, media_type)
        elif name == "itemref" and attributes.get("linear") == "no":
            self.nonlinear += 1
        elif name == "itemref":
            self.spine.append(attributes.get("idref", ""))

    def _characters(self, text: str) -> None:
        if self._field is not None:
            self.values[self._field] = self.values.get(self._field, "") + text
