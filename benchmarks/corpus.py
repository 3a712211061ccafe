"""Documents of one text, the same for all from a seed, in each format that is measured.

No library writes them: those that read would share its view, and one takes minutes for them.
"""

from __future__ import annotations

import html
import io
import random
import textwrap
import zipfile
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMATS = ("txt", "md", "html", "docx", "pdf")
_SYLLABLES = (
    "ba", "re", "no", "ti", "ka", "lu", "me", "so", "fi", "da", "ro", "en", "ul", "ist", "ar",
    "gent", "mor", "pel", "qu", "ith", "and", "the", "of",
)  # fmt: skip
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_LINES, _WIDTH = 50, 95


class Section(NamedTuple):
    """A part of the text under a heading."""

    level: int
    title: str
    paragraphs: list[str]
    items: list[str]
    table: list[list[str]]
    code: str


def sections(size: int) -> list[Section]:
    """Make so many characters of text."""
    return list(_sections(size, random.Random(7)))


def _sections(size: int, chance: random.Random) -> Iterator[Section]:
    words = [
        "".join(chance.choice(_SYLLABLES) for _ in range(chance.choice((1, 1, 2, 2, 3))))
        for _ in range(4000)
    ]

    def sentence() -> str:
        chosen = [chance.choice(words) for _ in range(chance.randint(5, 22))]
        if chance.random() < 0.4:
            chosen[len(chosen) // 2] += ","
        return " ".join([chosen[0].capitalize(), *chosen[1:]]) + chance.choice("....!?")

    made = number = 0
    while made < size:
        found = Section(
            2 if number % 4 == 0 else 3,
            " ".join(chance.choice(words) for _ in range(4)).capitalize(),
            [
                " ".join(sentence() for _ in range(chance.randint(2, 7)))
                for _ in range(chance.randint(3, 8))
            ],
            [sentence() for _ in range(5)] if number % 3 == 0 else [],
            [[chance.choice(words) for _ in range(4)] for _ in range(6)] if number % 5 == 0 else [],
            "for x in y:\n    # no heading\n    print(x)" if number % 7 == 0 else "",
        )
        made += sum(map(len, found.paragraphs)) + sum(map(len, found.items))
        number += 1
        yield found


def write(folder: Path, size: int) -> dict[str, Path]:
    """Write the text in all formats."""
    parts = sections(size)
    paths = {name: folder / f"whole.{name}" for name in FORMATS}
    paths["txt"].write_text("\n\n".join(_plain(parts)))
    paths["md"].write_text("\n\n".join(_markdown(parts)))
    paths["html"].write_text("\n".join(_html(parts)))
    paths["docx"].write_bytes(_docx(parts))
    paths["pdf"].write_bytes(_pdf(list(_plain(parts))))
    return paths


def _plain(parts: list[Section]) -> Iterator[str]:
    for part in parts:
        yield part.title
        yield from part.paragraphs
        yield from part.items


def _markdown(parts: list[Section]) -> Iterator[str]:
    yield "# The whole"
    for part in parts:
        yield f"{'#' * part.level} {part.title}"
        yield from part.paragraphs
        if part.items:
            yield "\n".join(f"- {item}" for item in part.items)
        if part.table:
            rows = [f"| {' | '.join(row)} |" for row in part.table]
            yield "\n".join([rows[0], "|---|---|---|---|", *rows[1:]])
        if part.code:
            yield f"```python\n{part.code}\n```"


def _html(parts: list[Section]) -> Iterator[str]:
    yield "<!DOCTYPE html><html><head><title>Whole</title></head><body><h1>The whole</h1>"
    for part in parts:
        yield f"<h{part.level}>{part.title}</h{part.level}>"
        for paragraph in part.paragraphs:
            words = paragraph.split(" ")
            words[3], words[-2] = f"<b>{words[3]}</b>", f'<a href="#x">{words[-2]}</a>'
            yield f"<p>{' '.join(words)}</p>"
        if part.items:
            yield f"<ul>{''.join(f'<li>{item}</li>' for item in part.items)}</ul>"
        if part.table:
            cells = ("".join(f"<td>{cell}</td>" for cell in row) for row in part.table)
            yield f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
        if part.code:
            yield f"<pre>{html.escape(part.code)}</pre>"
    yield "</body></html>"


def _docx(parts: list[Section]) -> bytes:
    import docx

    blank, packed = io.BytesIO(), io.BytesIO()
    docx.Document().save(blank)
    body = "".join(_word_parts(parts))
    xml = f'<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>'
    with (
        zipfile.ZipFile(blank) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            own = name == "word/document.xml"
            target.writestr(name, xml if own else source.read(name))
    return packed.getvalue()


def _word_parts(parts: list[Section]) -> Iterator[str]:
    for part in parts:
        yield _word(part.title, f"Heading{part.level}")
        for paragraph in part.paragraphs:
            yield _word(paragraph)
        for item in part.items:
            yield _word(item, "ListBullet")
        if part.table:
            cells = ("".join(f"<w:tc>{_word(cell)}</w:tc>" for cell in row) for row in part.table)
            yield f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in cells)}</w:tbl>"


def _word(text: str, style: str = "") -> str:
    """Write a paragraph in runs, as Word does where it checked the spelling."""
    middle = len(text) // 2
    runs = "".join(
        f'<w:r><w:t xml:space="preserve">{part}</w:t></w:r>'
        for part in (text[:middle], text[middle:])
    )
    given = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{given}{runs}</w:p>"


def _pdf(paragraphs: list[str]) -> bytes:
    lines = [line for each in paragraphs for line in textwrap.wrap(each, _WIDTH)]
    pages = [lines[start : start + _LINES] for start in range(0, len(lines), _LINES)]
    kids = " ".join(f"{10 + 2 * index} 0 R" for index in range(len(pages)))
    objects = {
        1: "<< /Type /Catalog /Pages 2 0 R >>",
        2: f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        3: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    }
    for index, page in enumerate(pages):
        moves = " ".join(f"({line}) Tj 0 -14 Td" for line in page)
        stream = f"BT /F1 10 Tf 40 750 Td {moves} ET"
        objects[10 + 2 * index] = (
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {11 + 2 * index} 0 R >>"
        )
        objects[11 + 2 * index] = f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream"
    body, table = ["%PDF-1.4\n"], ["xref\n0 1\n0000000000 65535 f \n"]
    place = len(body[0])
    for number, content in objects.items():
        table.append(f"{number} 1\n{place:010d} 00000 n \n")
        body.append(f"{number} 0 obj\n{content}\nendobj\n")
        place += len(body[-1])
    end = f"trailer\n<< /Size {max(objects) + 1} /Root 1 0 R >>\nstartxref\n{place}\n%%EOF\n"
    return "".join([*body, *table, end]).encode("latin-1")
