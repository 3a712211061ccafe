"""Descriptions of functions and of their parameters, parsed from docstrings.

Owns the NumPy, Google and Sphinx styles; nothing is imported for it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

__all__ = ["parse_docstring"]

_UNDERLINE = re.compile(r"-{3,}|={3,}")
_GOOGLE = re.compile(r"(Args|Arguments|Parameters|Params|Keyword Args|Keyword Arguments):")
_SECTION = re.compile(r"(Returns?|Yields?|Raises|Examples?|Notes?|Attributes|See Also|Warns?):")
_NUMPY_NAMES = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")
_GOOGLE_NAME = re.compile(r"(\*{0,2}\w+)\s*+(?:\([^)]*+\)\s*+)?:\s*(.*)")
_FIELD = re.compile(r":param(\s[^:]*+):\s*(.*)")  # its type may come before its name


def parse_docstring(docstring: str | None) -> tuple[str, dict[str, str]]:
    r"""Return the description of a function, and those of its parameters by name.

    Parameters
    ----------
    docstring
        In the style of NumPy, Google or Sphinx; all else is description.

    Examples
    --------
    >>> parse_docstring("Find the weather.\n\nArgs:\n    place: A town.")
    ('Find the weather.', {'place': 'A town.'})
    """
    lines = inspect.cleandoc(docstring or "").splitlines()
    sections = (number for number in range(len(lines)) if _starts_section(lines, number))
    start = next(sections, len(lines))
    description = "\n".join(lines[:start]).strip()
    parameters: dict[str, str] = {}
    for number in range(start, len(lines)):
        line = lines[number]
        if _GOOGLE.fullmatch(line.strip()):
            parameters |= _google_parameters(_indented(lines[number + 1 :]))
        elif line.strip() in {"Parameters", "Other Parameters"} and _is_underlined(lines, number):
            parameters |= _numpy_parameters(lines[number + 2 :])
        elif (field := _FIELD.match(line)) and (words := field[1].split()):
            text = " ".join([field[2], *_indented(lines[number + 1 :])])
            parameters[words[-1]] = text.strip()
    return description, parameters


def _is_underlined(lines: list[str], number: int) -> bool:
    return number + 1 < len(lines) and _UNDERLINE.fullmatch(lines[number + 1].strip()) is not None


def _starts_section(lines: list[str], number: int) -> bool:
    line = lines[number].strip()
    if (
        _GOOGLE.fullmatch(line)
        or _SECTION.fullmatch(line)
        or line.startswith((":param", ":return"))
    ):
        return True
    return bool(line) and _is_underlined(lines, number)


def _indented(lines: Iterable[str]) -> list[str]:
    """Return the first indented lines, without their common indentation."""
    block: list[str] = []
    for line in lines:
        if line.strip() and not line.startswith((" ", "\t")):
            break
        block.append(line)
    return inspect.cleandoc("\n" + "\n".join(block)).splitlines() if block else []


def _google_parameters(lines: list[str]) -> dict[str, str]:
    parts: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        entry = None if line.startswith((" ", "\t")) else _GOOGLE_NAME.match(line)
        if entry:
            name = entry[1].lstrip("*")
            parts[name] = [entry[2]]
        elif name and line.strip():
            parts[name].append(line.strip())
    return _joined(parts)


def _numpy_parameters(lines: list[str]) -> dict[str, str]:
    parts: dict[str, list[str]] = {}
    names: list[str] = []
    for number, line in enumerate(lines):
        if line.strip() and _is_underlined(lines, number):
            break
        if line.startswith((" ", "\t")):
            for name in names:
                parts[name].append(line.strip())
        elif entry := _NUMPY_NAMES.fullmatch(line.strip()):
            names = [name.strip().lstrip("*") for name in entry[1].split(",")]
            parts |= {name: [] for name in names}
    return _joined(parts)


def _joined(parts: dict[str, list[str]]) -> dict[str, str]:
    return {name: " ".join(lines).strip() for name, lines in parts.items()}
