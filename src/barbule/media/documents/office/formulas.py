"""Formulas of Office files in one line of text: "E=mc^2", "(a+b)/2".

Owns how the elements of Office's mathematics (ISO/IEC 29500-1, 22.1) are written.
"""

from __future__ import annotations

from typing import Any

__all__ = ["FORMULA", "formula_text"]

_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
FORMULA = f"{_M}oMath"
_VALUE = f"{_M}val"


def formula_text(element: Any) -> str:
    """Write a formula, or a part of one, in a line."""
    if not isinstance(element.tag, str):
        return ""  # a comment
    name = element.tag.removeprefix(_M)
    if name == "t":
        return element.text or ""
    if name.endswith("Pr"):
        return ""
    write = _WRITTEN.get(name)
    return write(element) if write else "".join(map(formula_text, element))


def _part(element: Any, name: str) -> str:
    found = element.find(f"{_M}{name}")
    return "" if found is None else "".join(map(formula_text, found)).strip()


def _group(text: str) -> str:
    """Put in brackets what would fall apart without them."""
    return text if len(text) <= 1 or text.isalnum() else f"({text})"


def _fraction(element: Any) -> str:
    return f"{_group(_part(element, 'num'))}/{_group(_part(element, 'den'))}"


def _scripts(element: Any) -> str:
    below, above = _part(element, "sub"), _part(element, "sup")
    sub = f"_{_group(below)}" if below else ""
    sup = f"^{_group(above)}" if above else ""
    return f"{_part(element, 'e')}{sub}{sup}"


def _root(element: Any) -> str:
    return f"{_part(element, 'deg')}√{_group(_part(element, 'e'))}"


def _sum(element: Any) -> str:
    sign = _setting(element, "naryPr", "chr", "∫")
    below, above = _part(element, "sub"), _part(element, "sup")
    sub = f"_{_group(below)}" if below else ""
    sup = f"^{_group(above)}" if above else ""
    return f"{sign}{sub}{sup} {_part(element, 'e')}"


def _brackets(element: Any) -> str:
    opening = _setting(element, "dPr", "begChr", "(")
    closing = _setting(element, "dPr", "endChr", ")")
    between = _setting(element, "dPr", "sepChr", "|")
    inner = between.join("".join(map(formula_text, part)) for part in element.findall(f"{_M}e"))
    return f"{opening}{inner}{closing}"


def _function(element: Any) -> str:
    return f"{_part(element, 'fName')} {_part(element, 'e')}"


def _limit(element: Any) -> str:
    sign = "_" if element.tag == f"{_M}limLow" else "^"
    return f"{_part(element, 'e')}{sign}{_group(_part(element, 'lim'))}"


def _matrix(element: Any) -> str:
    rows = (
        ", ".join("".join(map(formula_text, cell)) for cell in row.findall(f"{_M}e"))
        for row in element.findall(f"{_M}mr")
    )
    return "; ".join(rows)


def _lines(element: Any) -> str:
    return "; ".join("".join(map(formula_text, line)) for line in element.findall(f"{_M}e"))


def _setting(element: Any, group: str, name: str, default: str) -> str:
    found = element.find(f"{_M}{group}/{_M}{name}")
    return default if found is None else str(found.get(_VALUE) or "")


_WRITTEN = {
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
