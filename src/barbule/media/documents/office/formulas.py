"""Formulas of Office files on one line of text: "E=mc^2", "(a+b)/2".

Owns how the elements of Office's mathematics (ISO/IEC 29500-1, 22.1) are written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["FORMULA", "formula_text"]

_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
FORMULA = f"{_M}oMath"
_VALUE = f"{_M}val"


def formula_text(element: Element) -> str:
    """Write a formula, or a part of one, on one line."""
    if not isinstance(element.tag, str):
        return ""  # a comment
    name = element.tag.removeprefix(_M)
    if name == "t":
        return element.text or ""
    if name.endswith("Pr"):
        return ""
    write = _WRITERS.get(name)
    return write(element) if write else "".join(map(formula_text, element))


def _part(element: Element, name: str) -> str:
    child = element.find(f"{_M}{name}")
    return "" if child is None else "".join(map(formula_text, child)).strip()


def _parenthesize(text: str) -> str:
    """Add brackets where they are necessary."""
    return text if len(text) <= 1 or text.isalnum() else f"({text})"


def _fraction(element: Element) -> str:
    return f"{_parenthesize(_part(element, 'num'))}/{_parenthesize(_part(element, 'den'))}"


def _scripts(element: Element) -> str:
    subscript, superscript = _part(element, "sub"), _part(element, "sup")
    sub = f"_{_parenthesize(subscript)}" if subscript else ""
    sup = f"^{_parenthesize(superscript)}" if superscript else ""
    return f"{_part(element, 'e')}{sub}{sup}"


def _root(element: Element) -> str:
    return f"{_part(element, 'deg')}√{_parenthesize(_part(element, 'e'))}"


def _sum(element: Element) -> str:
    sign = _setting(element, "naryPr", "chr", "∫")
    subscript, superscript = _part(element, "sub"), _part(element, "sup")
    sub = f"_{_parenthesize(subscript)}" if subscript else ""
    sup = f"^{_parenthesize(superscript)}" if superscript else ""
    return f"{sign}{sub}{sup} {_part(element, 'e')}"


def _brackets(element: Element) -> str:
    opening = _setting(element, "dPr", "begChr", "(")
    closing = _setting(element, "dPr", "endChr", ")")
    separator = _setting(element, "dPr", "sepChr", "|")
    inner = separator.join("".join(map(formula_text, part)) for part in element.findall(f"{_M}e"))
    return f"{opening}{inner}{closing}"


def _function(element: Element) -> str:
    return f"{_part(element, 'fName')} {_part(element, 'e')}"


def _limit(element: Element) -> str:
    sign = "_" if element.tag == f"{_M}limLow" else "^"
    return f"{_part(element, 'e')}{sign}{_parenthesize(_part(element, 'lim'))}"


def _matrix(element: Element) -> str:
    rows = (
        ", ".join("".join(map(formula_text, cell)) for cell in row.findall(f"{_M}e"))
        for row in element.findall(f"{_M}mr")
    )
    return "; ".join(rows)


def _lines(element: Element) -> str:
    return "; ".join("".join(map(formula_text, line)) for line in element.findall(f"{_M}e"))


def _setting(element: Element, group: str, name: str, default: str) -> str:
    setting = element.find(f"{_M}{group}/{_M}{name}")
    return default if setting is None else str(setting.get(_VALUE) or "")


_WRITERS = {
    "f": _fraction,
    "sSup": _scripts,
    "sSub": _scripts,
    "sSubSup": _scripts,
    "sPre": _scripts,
    "rad": _root,
    "nary": _sum,
    "d": _brackets,
    "func": _function,
    "limLow": _limit,
    "limUpp": _limit,
    "m": _matrix,
    "eqArr": _lines,
}
