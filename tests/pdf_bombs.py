"""PDFs of at most one megabyte that exhaust a machine without limits on their reader."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FLATE = b"/Filter/FlateDecode"
_FORM = b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]"
_FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
_WORDS = b"BT /F1 9 Tf (words) Tj ET\n"


def squeezed(unit: bytes, size: int) -> bytes:
    """Compress `size` bytes of one repeated unit without holding them in memory."""
    piece = unit * max(1, (4 << 20) // len(unit))
    data, check = deflated(piece, size // len(piece), size % len(piece) // len(unit) * unit), 1
    for _ in range(size // len(piece)):
        check = zlib.adler32(piece, check)
    check = zlib.adler32(size % len(piece) // len(unit) * unit, check)
    return b"\x78\xda" + data + check.to_bytes(4)


def deflated(piece: bytes, count: int, rest: bytes = b"", head: bytes = b"") -> bytes:
    """Compress a piece once, and repeat the result: no part refers to what precedes it."""
    packer = zlib.compressobj(9, wbits=-15)
    parts = [
        packer.compress(part) + packer.flush(zlib.Z_FULL_FLUSH) if part else b""
        for part in (head, piece, rest)
    ]
    return parts[0] + parts[1] * count + parts[2] + packer.flush()


def _stream(data: bytes, extra: bytes = b"") -> bytes:
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(data), extra, data)


def _page(content: bytes, resources: bytes = b"", how: bytes = _FLATE) -> list[bytes]:
    fonts = b"/Resources<</Font<</F1 5 0 R>>%s>>" % resources
    return [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 90 90]/Contents 4 0 R%s>>" % fonts,
        _stream(content, how),
        _FONT,
    ]


def _written(path: Path, objects: list[bytes]) -> Path:
    numbered = (b"%d 0 obj\n%s\nendobj\n" % each for each in enumerate(objects, start=1))
    path.write_bytes(b"%PDF-1.7\n" + b"".join(numbered) + b"trailer<</Root 1 0 R>>\n%%EOF\n")
    return path


def much_text(path: Path) -> Path:
    """Write a page of nine million words."""
    return _written(path, _page(squeezed(_WORDS, 240_000_000)))


def much_drawing(path: Path) -> Path:
    """Write a page of a huge number of lines."""
    return _written(path, _page(squeezed(b"0 0 m 1 1 l S\n", 400_000_000)))


def nothing(path: Path) -> Path:
    """Write a page whose content is spaces."""
    return _written(path, _page(squeezed(b" ", 900_000_000)))


def packed_twice(path: Path) -> Path:
    """Write a page whose content of spaces is compressed twice."""
    content = zlib.compress(squeezed(b" ", 900_000_000))
    return _written(path, _page(content, how=b"/Filter[/FlateDecode/FlateDecode]"))


def nested_forms(path: Path) -> Path:
    """Write a page that draws a form ten times, which draws another ten times, and so on."""
    numbers = range(6, 18)
    forms = [
        _stream(
            b"/X Do " * 10,
            _FORM + b"/Resources<</XObject<</X %d 0 R>>>>" % (number + 1),
        )
        for number in numbers
    ]
    last = _stream(_WORDS, _FORM + b"/Resources<</Font<</F1 5 0 R>>>>")
    page = _page(zlib.compress(b"/X Do " * 10), b"/XObject<</X 6 0 R>>")
    return _written(path, [*page, *forms, last])


def form_of_itself(path: Path) -> Path:
    """Write a page with a form that draws itself twice."""
    form = _stream(b"/X Do /X Do", _FORM + b"/Resources<</XObject<</X 6 0 R>>>>")
    return _written(path, [*_page(zlib.compress(b"/X Do "), b"/XObject<</X 6 0 R>>"), form])


ALL = {
    "much text": much_text,
    "much drawing": much_drawing,
    "blanks": nothing,
    "packed twice": packed_twice,
    "nested forms": nested_forms,
    "a form of itself": form_of_itself,
}
