"""Documents for tests, written without a library so that no reader shares its view of a format."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_BOOK = "http://www.idpf.org/2007/opf"
_CORE = "http://purl.org/dc/elements/1.1/"


def make_pdf(
    path: Path,
    *pages: Sequence[str],
    title: str | None = None,
    outline: Sequence[tuple[str, int, int]] = (),
) -> Path:
    """Write a PDF with lines of text, and an outline of (title, level, page) in two levels."""
    kids = " ".join(f"{10 + 2 * index} 0 R" for index in range(len(pages)))
    objects = {
        1: f"<< /Type /Catalog /Pages 2 0 R {'/Outlines 1000 0 R' if outline else ''} >>",
        2: f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        3: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        4: f"<< /Title ({title or ''}) >>",
    }
    for index, lines in enumerate(pages):
        moves = " ".join(f"({line}) Tj 0 -14 Td" for line in lines)
        stream = f"BT /F1 10 Tf 40 750 Td {moves} ET"
        objects[10 + 2 * index] = (
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {11 + 2 * index} 0 R >>"
        )
        objects[11 + 2 * index] = f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream"
    if outline:
        objects.update(_outline(outline))
    body = "%PDF-1.4\n"
    table = "xref\n0 1\n0000000000 65535 f \n"
    for number, content in objects.items():
        table += f"{number} 1\n{len(body):010d} 00000 n \n"
        body += f"{number} 0 obj\n{content}\nendobj\n"
    size = max(objects) + 1
    end = f"trailer\n<< /Size {size} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    path.write_bytes((body + table + end).encode("latin-1"))
    return path


def _outline(outline: Sequence[tuple[str, int, int]]) -> dict[int, str]:
    numbers = [1001 + index for index in range(len(outline))]
    parents = []
    for index, (_, level, _) in enumerate(outline):
        above = [n for n in range(index) if outline[n][1] == level - 1]
        parents.append(numbers[above[-1]] if level else 1000)
    children = {
        parent: [n for n, p in zip(numbers, parents, strict=True) if p == parent]
        for parent in {1000, *parents}
    }
    found = {}
    for number, parent, (title, _, page) in zip(numbers, parents, outline, strict=True):
        siblings = children[parent]
        after = siblings[siblings.index(number) + 1 :]
        entry = f"/Title ({title}) /Parent {parent} 0 R /Dest [{8 + 2 * page} 0 R /Fit]"
        entry += f" /Next {after[0]} 0 R" if after else ""
        if number in children:
            first, last = children[number][0], children[number][-1]
            entry += f" /First {first} 0 R /Last {last} 0 R /Count {len(children[number])}"
        found[number] = f"<< {entry} >>"
    first, last = children[1000][0], children[1000][-1]
    found[1000] = f"<< /Type /Outlines /First {first} 0 R /Last {last} 0 R /Count 1 >>"
    return found


def make_epub(
    path: Path,
    pages: dict[str, str],
    *,
    order: Sequence[str] | None = None,
    title: str = "A book",
    author: str = "",
    hidden: str = "",
    pack: bool = True,
) -> Path:
    """Write an EPUB; `hidden` is a file declared as encrypted."""
    kind = zipfile.ZIP_DEFLATED if pack else zipfile.ZIP_STORED
    items = "".join(
        f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in pages
    )
    spine = "".join(f'<itemref idref="{name}"/>' for name in order or pages)
    creator = f"<dc:creator>{author}</dc:creator>" if author else ""
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        archive.writestr(
            "META-INF/container.xml",
            '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        )
        if hidden:
            archive.writestr(
                "META-INF/encryption.xml",
                f'<encryption><CipherReference URI="{hidden}"/></encryption>',
            )
        archive.writestr(
            "OEBPS/book.opf",
            f'<package xmlns="{_BOOK}" xmlns:dc="{_CORE}"><metadata><dc:title>{title}</dc:title>'
            f"{creator}<dc:language>en</dc:language></metadata><manifest>{items}</manifest>"
            f"<spine>{spine}</spine></package>",
        )
        for name, page in pages.items():
            archive.writestr(f"OEBPS/{name}", f"<html>{page}</html>")
    return path
