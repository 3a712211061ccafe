"""What is filled into the pages of a PDF: the values of its form, and text that is laid upon them.

Owns the reading of fields and annotations, and their place among the lines of a page. Must be
called by `pdf` alone, which sees to it that PDFium is called by one thread at a time.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage

    from barbule.media.documents.blocks import Sides

__all__ = ["Filled", "begin_form", "filled_in", "parted", "placed"]

_HIDDEN = 0x02 | 0x20  # not shown at all, or on paper alone
_PASSWORD = 1 << 13
_LINE_BREAK = len("\r\n")
_CHECKED = "Yes"
_SAYS_NOTHING = {"", "on", "true", "checked"}


class Filled(NamedTuple):
    """A value and where it stands; `mark` of what is ticked, whose words may follow."""

    text: str
    box: Sides
    mark: bool = False


def begin_form(document: PdfDocument) -> tuple[str, ...]:
    """Get the form of a document ready, before its pages are loaded; say what of it is not read."""
    from pypdfium2 import raw

    kind = document.get_formtype()
    if kind == raw.FORMTYPE_NONE:
        return ()
    document.init_forms()
    return ("XFA form",) if kind == raw.FORMTYPE_XFA_FULL else ()


def filled_in(document: PdfDocument, page: PdfPage, left_out: dict[str, None]) -> list[Filled]:
    """Read the values of a page's fields, and the text boxes that are laid upon it.

    Parameters
    ----------
    document, page
        A document for which `begin_form` was called, and one of its pages.
    left_out
        Gets what has text and is not read.
    """
    from pypdfium2 import raw

    found = []
    form = document.formenv.raw if document.formenv is not None else None
    for index in range(raw.FPDFPage_GetAnnotCount(page.raw)):
        annotation = raw.FPDFPage_GetAnnot(page.raw, index)
        if not annotation:
            continue
        try:
            if value := _value(form, annotation, left_out):
                found.append(Filled(value[0], _box(annotation), value[1]))
        finally:
            raw.FPDFPage_CloseAnnot(annotation)
    return found


def _value(form: Any, annotation: Any, left_out: dict[str, None]) -> tuple[str, bool] | None:
    from pypdfium2 import raw

    kind = raw.FPDFAnnot_GetSubtype(annotation)
    if kind in {raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP}:
        return None
    if kind == raw.FPDF_ANNOT_WIDGET:
        value = _field(form, annotation, left_out) if form is not None else None
        reason = "hidden fields"
    else:
        text = _string(raw.FPDFAnnot_GetStringValue, annotation, b"Contents")
        value = (text, False) if text else None
        reason = "hidden text"
    if value is None:
        return None
    if kind not in {raw.FPDF_ANNOT_WIDGET, raw.FPDF_ANNOT_FREETEXT}:
        left_out["comments"] = None
        return None
    if raw.FPDFAnnot_GetFlags(annotation) & _HIDDEN:
        left_out[reason] = None
        return None
    return value


def _field(form: Any, annotation: Any, left_out: dict[str, None]) -> tuple[str, bool] | None:
    """Return the value of a field as it is shown, and whether it is a mark."""
    from pypdfium2 import raw

    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in {raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON}:
        if not raw.FPDFAnnot_IsChecked(form, annotation):
            return None
        said = _string(raw.FPDFAnnot_GetFormFieldExportValue, form, annotation)
        return (_CHECKED if said.lower() in _SAYS_NOTHING or said.isdecimal() else said), True
    if kind not in {
        raw.FPDF_FORMFIELD_TEXTFIELD,
        raw.FPDF_FORMFIELD_COMBOBOX,
        raw.FPDF_FORMFIELD_LISTBOX,
    }:
        return None
    chosen = [
        _string(raw.FPDFAnnot_GetOptionLabel, form, annotation, option)
        for option in range(max(raw.FPDFAnnot_GetOptionCount(form, annotation), 0))
        if raw.FPDFAnnot_IsOptionSelected(form, annotation, option)
    ]
    text = ", ".join(chosen) or _string(raw.FPDFAnnot_GetFormFieldValue, form, annotation)
    if text and raw.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD:
        left_out["passwords"] = None
        return None
    return (text, False) if text else None


def _string(ask: Callable[..., int], *given: Any) -> str:
    size = ask(*given, None, 0)
    if size <= 2:  # noqa: PLR2004 - the end of a string
        return ""
    buffer = (ctypes.c_ushort * (size // 2))()
    ask(*given, buffer, size)
    return bytes(buffer).decode("utf-16-le", "replace").rstrip("\0").strip()


def _box(annotation: Any) -> Sides:
    from pypdfium2 import raw

    found = raw.FS_RECTF()
    raw.FPDFAnnot_GetRect(annotation, found)
    return found.left, found.bottom, found.right, found.top


# -- their place -----------------------------------------------------------------------------


def parted(
    textpage: PdfTextPage,
    texts: Sequence[str],
    boxes: Sequence[Sides | None],
    filled: Sequence[Filled],
) -> tuple[list[str], list[Sides | None]]:
    """Part the lines of a page where a value stands among their words."""
    found: list[tuple[str, Sides | None]] = []
    start = 0
    for text, box in zip(texts, boxes, strict=True):
        among = [each.box for each in filled if box and _beside(each.box, box)]
        cuts = sorted({left for left, *_ in among if box and box[0] < left < box[2]})
        if cuts:
            found.extend(_pieces(textpage, start, text, cuts))
        else:
            found.append((text, box))
        start += len(text) + _LINE_BREAK
    return [text for text, _ in found], [box for _, box in found]


def _pieces(
    textpage: PdfTextPage, start: int, text: str, cuts: list[float]
) -> Iterator[tuple[str, Sides]]:
    piece = ""
    sides: list[Sides] = []
    passed = 0
    for index, char in enumerate(text, start=start):
        if char.isspace():
            piece += char
            continue
        box: Sides = textpage.get_charbox(index)
        here = sum(cut <= (box[0] + box[2]) / 2 for cut in cuts)
        if here > passed and sides:
            yield piece.rstrip(), _around(sides)
            piece, sides = "", []
        passed = max(passed, here)
        piece += char
        sides.append(box)
    if sides:
        yield piece, _around(sides)


def _around(sides: Sequence[Sides]) -> Sides:
    lefts, lows, rights, highs = zip(*sides, strict=True)
    return min(lefts), min(lows), max(rights), max(highs)


def _beside(value: Sides, line: Sides) -> bool:
    """Tell whether the middle of a line is within the height of a value."""
    return value[1] <= (line[1] + line[3]) / 2 <= value[3]


def placed(
    texts: Sequence[str], boxes: Sequence[Sides | None], filled: Sequence[Filled]
) -> Iterator[tuple[str, Sides | None, bool]]:
    """Yield the lines of a page with what is filled in, each with its box and whether it got some.

    A value follows the words to the left of it. Where there are none it is a line of its own,
    below those above it.
    """
    left: dict[int, list[Filled]] = {}
    own: dict[int, list[Filled]] = {}
    for value in sorted(filled, key=lambda each: (-each.box[3], each.box[0])):
        index = _label(value, boxes)
        if index is not None:
            left.setdefault(index, []).append(value)
        else:
            own.setdefault(_above(value, boxes), []).append(value)
    yield from _own_lines(own.get(-1, ()))
    for index, (text, box) in enumerate(zip(texts, boxes, strict=True)):
        if index in left and box is not None:
            yield _joined(text, box, left[index])
        else:
            yield text, box, False
        yield from _own_lines(own.get(index, ()))


def _own_lines(values: Sequence[Filled]) -> Iterator[tuple[str, Sides | None, bool]]:
    for value in values:
        for line in value.text.splitlines():
            yield line, value.box, True


def _label(value: Filled, boxes: Sequence[Sides | None]) -> int | None:
    """Return the nearest line that stands before a value, or behind it if it is a mark."""
    x1, y1, x2, y2 = value.box
    best: tuple[float, int] | None = None
    for index, box in enumerate(boxes):
        if box is None or not _beside(value.box, box):
            continue
        # A line may reach into the field by a blank.
        gaps = [x1 - box[2]] + ([box[0] - x2] if value.mark else [])
        for gap in gaps:
            if gap > -(y2 - y1) / 2 and (best is None or gap < best[0]):
                best = gap, index
    return best[1] if best else None


def _above(value: Filled, boxes: Sequence[Sides | None]) -> int:
    """Return the lowest line above a value; -1 where there is none."""
    middle = (value.box[1] + value.box[3]) / 2
    lines = [(box[1], -index) for index, box in enumerate(boxes) if box and box[1] >= middle]
    return -min(lines)[1] if lines else -1


def _joined(text: str, box: Sides, values: list[Filled]) -> tuple[str, Sides, bool]:
    before = [value for value in values if value.box[0] < box[0]]
    after = sorted((value for value in values if value.box[0] >= box[0]), key=lambda v: v.box[0])
    marks = ["[x]" if value.text == _CHECKED else value.text for value in before]
    whole = " ".join([*marks, text.strip(), *(" ".join(each.text.split()) for each in after)])
    return whole, _around([box, *(value.box for value in values)]), True
