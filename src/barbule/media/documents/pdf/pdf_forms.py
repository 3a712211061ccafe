"""Values filled into the pages of a PDF: form fields and text boxes.

Owns the reading of fields and annotations, and their position among the lines of a page. Must be
called only by `pdf`, which calls PDFium from one thread at a time.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage
    from pypdfium2.raw import FPDF_ANNOTATION, FPDF_FORMHANDLE

    from barbule.media.documents.blocks import Sides

__all__ = ["FormValue", "init_form", "merge_values", "read_form_values", "split_lines"]

_HIDDEN = 0x02 | 0x20  # not shown, or only printed
_PASSWORD = 1 << 13
_LINE_BREAK = len("\r\n")
_CHECKED = "Yes"
_UNINFORMATIVE_VALUES = {"", "on", "true", "checked"}


class FormValue(NamedTuple):
    """A value and its position; `mark` for a tick, whose words may follow."""

    text: str
    box: Sides
    mark: bool = False


def init_form(document: PdfDocument) -> tuple[str, ...]:
    """Prepare the form of a document, before its pages are loaded; return what is not read."""
    from pypdfium2 import raw

    kind = document.get_formtype()
    if kind == raw.FORMTYPE_NONE:
        return ()
    document.init_forms()
    return ("XFA form",) if kind == raw.FORMTYPE_XFA_FULL else ()


def read_form_values(
    document: PdfDocument, page: PdfPage, left_out: dict[str, None]
) -> list[FormValue]:
    """Read the values of a page's fields, and its text boxes.

    Parameters
    ----------
    document, page
        A document for which `init_form` was called, and one of its pages.
    left_out
        Receives the parts with text that are not read.
    """
    from pypdfium2 import raw

    values = []
    form = document.formenv.raw if document.formenv is not None else None
    for index in range(raw.FPDFPage_GetAnnotCount(page.raw)):
        annotation = raw.FPDFPage_GetAnnot(page.raw, index)
        if not annotation:
            continue
        try:
            if value := _value(form, annotation, left_out):
                values.append(FormValue(value[0], _box(annotation), value[1]))
        finally:
            raw.FPDFPage_CloseAnnot(annotation)
    return values


def _value(
    form: FPDF_FORMHANDLE | None, annotation: FPDF_ANNOTATION, left_out: dict[str, None]
) -> tuple[str, bool] | None:
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


def _field(
    form: FPDF_FORMHANDLE | None, annotation: FPDF_ANNOTATION, left_out: dict[str, None]
) -> tuple[str, bool] | None:
    """Return the displayed value of a field, and whether it is a mark."""
    from pypdfium2 import raw

    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in {raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON}:
        if not raw.FPDFAnnot_IsChecked(form, annotation):
            return None
        export_value = _string(raw.FPDFAnnot_GetFormFieldExportValue, form, annotation)
        return (
            _CHECKED
            if export_value.lower() in _UNINFORMATIVE_VALUES or export_value.isdecimal()
            else export_value
        ), True
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


def _string(read: Callable[..., int], *arguments: object) -> str:
    size = read(*arguments, None, 0)
    if size <= 2:  # noqa: PLR2004 - the end of a string
        return ""
    buffer = (ctypes.c_ushort * (size // 2))()
    read(*arguments, buffer, size)
    return bytes(buffer).decode("utf-16-le", "replace").rstrip("\0").strip()


def _box(annotation: FPDF_ANNOTATION) -> Sides:
    from pypdfium2 import raw

    rectangle = raw.FS_RECTF()
    raw.FPDFAnnot_GetRect(annotation, rectangle)
    return rectangle.left, rectangle.bottom, rectangle.right, rectangle.top


# -- their position --------------------------------------------------------------------------


def split_lines(
    textpage: PdfTextPage,
    texts: Sequence[str],
    boxes: Sequence[Sides | None],
    form_values: Sequence[FormValue],
) -> tuple[list[str], list[Sides | None]]:
    """Split the lines of a page if a value is between their words."""
    pieces: list[tuple[str, Sides | None]] = []
    start = 0
    for text, box in zip(texts, boxes, strict=True):
        value_boxes = [value.box for value in form_values if box and _is_level_with(value.box, box)]
        cuts = sorted({left for left, *_ in value_boxes if box and box[0] < left < box[2]})
        if cuts:
            pieces.extend(_split_line(textpage, start, text, cuts))
        else:
            pieces.append((text, box))
        start += len(text) + _LINE_BREAK
    return [text for text, _ in pieces], [box for _, box in pieces]


def _split_line(
    textpage: PdfTextPage, start: int, text: str, cuts: list[float]
) -> Iterator[tuple[str, Sides]]:
    piece = ""
    sides: list[Sides] = []
    cuts_passed = 0
    for index, char in enumerate(text, start=start):
        if char.isspace():
            piece += char
            continue
        box: Sides = textpage.get_charbox(index)
        cuts_before = sum(cut <= (box[0] + box[2]) / 2 for cut in cuts)
        if cuts_before > cuts_passed and sides:
            yield piece.rstrip(), _union(sides)
            piece, sides = "", []
        cuts_passed = max(cuts_passed, cuts_before)
        piece += char
        sides.append(box)
    if sides:
        yield piece, _union(sides)


def _union(sides: Sequence[Sides]) -> Sides:
    lefts, lows, rights, highs = zip(*sides, strict=True)
    return min(lefts), min(lows), max(rights), max(highs)


def _is_level_with(value: Sides, line: Sides) -> bool:
    """Return whether the middle of a line is within the height of a value."""
    return value[1] <= (line[1] + line[3]) / 2 <= value[3]


def merge_values(
    texts: Sequence[str], boxes: Sequence[Sides | None], form_values: Sequence[FormValue]
) -> Iterator[tuple[str, Sides | None, bool]]:
    """Yield the lines of a page with filled-in values, with boxes and whether a value was added.

    A value follows the words to the left of it. If there are none, it is a separate line, below
    those above it.
    """
    attached: dict[int, list[FormValue]] = {}
    standalone: dict[int, list[FormValue]] = {}
    for value in sorted(form_values, key=lambda value: (-value.box[3], value.box[0])):
        index = _label_line(value, boxes)
        if index is not None:
            attached.setdefault(index, []).append(value)
        else:
            standalone.setdefault(_line_above(value, boxes), []).append(value)
    yield from _standalone_lines(standalone.get(-1, ()))
    for index, (text, box) in enumerate(zip(texts, boxes, strict=True)):
        if index in attached and box is not None:
            yield _join_values(text, box, attached[index])
        else:
            yield text, box, False
        yield from _standalone_lines(standalone.get(index, ()))


def _standalone_lines(values: Sequence[FormValue]) -> Iterator[tuple[str, Sides | None, bool]]:
    for value in values:
        for line in value.text.splitlines():
            yield line, value.box, True


def _label_line(value: FormValue, boxes: Sequence[Sides | None]) -> int | None:
    """Return the nearest line to the left of a value, or to the right of a mark."""
    x1, y1, x2, y2 = value.box
    best: tuple[float, int] | None = None
    for index, box in enumerate(boxes):
        if box is None or not _is_level_with(value.box, box):
            continue
        # A line may reach into the field by a blank.
        gaps = [x1 - box[2]] + ([box[0] - x2] if value.mark else [])
        for gap in gaps:
            if gap > -(y2 - y1) / 2 and (best is None or gap < best[0]):
                best = gap, index
    return best[1] if best else None


def _line_above(value: FormValue, boxes: Sequence[Sides | None]) -> int:
    """Return the lowest line above a value; -1 if there is none."""
    middle = (value.box[1] + value.box[3]) / 2
    lines = [(box[1], -index) for index, box in enumerate(boxes) if box and box[1] >= middle]
    return -min(lines)[1] if lines else -1


def _join_values(text: str, box: Sides, values: list[FormValue]) -> tuple[str, Sides, bool]:
    left_marks = [value for value in values if value.box[0] < box[0]]
    right_values = sorted(
        (value for value in values if value.box[0] >= box[0]), key=lambda value: value.box[0]
    )
    marks = ["[x]" if value.text == _CHECKED else value.text for value in left_marks]
    joined = " ".join(
        [*marks, text.strip(), *(" ".join(value.text.split()) for value in right_values)]
    )
    return joined, _union([box, *(value.box for value in values)]), True
