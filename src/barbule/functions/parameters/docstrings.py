"""What docstrings say of a function and of its parameters, in the styles of NumPy and Google.

Owns the reading of docstrings; nothing is imported for it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

__all__ = ["described"]

_UNDERLINE = re.compile(r"-{3,}|={3,}")
_GOOGLE = re.compile(r"(Args|Arguments|Parameters|Params|Keyword Args|Keyword Arguments):")
_SECTION = re.compile(r"(Returns?|Yields?|Raises|Examples?|Notes?|Attributes|See Also|Warns?):")
_NUMPY_NAMES = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")
_GOOGLE_NAME = re.compile(r"(\*{0,2}\w+)\s*+(?:\([^)]*+\)\s*+)?:\s*(.*)")
_FIELD = re.compile(r":param(\s[^:]*+):\s*(.*)")  # its type may stand before its name


def described(docstring: str | None) -> tuple[str, dict[str, str]]:
    r"""Return the description of a function, and those of its parameters by name.

    Parameters
    ----------
    docstring
        In the style of NumPy, Google or Sphinx; what is in none of them is description.

    Examples
    --------
    >>> described("Find the weather.\n\nArgs:\n    place: A town.")
    ('Find the weather.', {'place': 'A town.'})
    """
    lines = inspect.cleandoc(docstring or "").splitlines()
    start = next((at for at in range(len(lines)) if _starts_section(lines, at)), len(lines))
    text = "\n".join(lines[:start]).strip()
    found: dict[str, str] = {}
    for at in range(start, len(lines)):
        if _GOOGLE.fullmatch(lines[at].strip()):
            found |= _google(_indented(lines[at + 1 :]))
        elif lines[at].strip() in {"Parameters", "Other Parameters"} and _underlined(lines, at):
            found |= _numpy(lines[at + 2 :])
        elif (field := _FIELD.match(lines[at])) and (words := field[1].split()):
            found[words[-1]] = " ".join([field[2], *_indented(lines[at + 1 :])]).strip()
    return text, found


def _underlined(lines: list[str], at: int) -> bool:
    return at + 1 < len(lines) and _UNDERLINE.fullmatch(lines[at + 1].strip()) is not None


def _starts_section(lines: list[str], at: int) -> bool:
    line = lines[at].strip()
    if (
        _GOOGLE.fullmatch(line)
        or _SECTION.fullmatch(line)
        or line.startswith((":param", ":return"))
    ):
        return True
    return bool(line) and _underlined(lines, at)


def _indented(lines: Iterable[str]) -> list[str]:
    """Return the first lines that are indented, less their common indentation."""
    found: list[str] = []
    for line in lines:
        if line.strip() and not line.startswith((" ", "\t")):
            break
        found.append(line)
    return inspect.cleandoc("\n" + "\n".join(found)).splitlines() if found else []


def _google(lines: list[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        entry = None if line.startswith((" ", "\t")) else _GOOGLE_NAME.match(line)
        if entry:
            name = entry[1].lstrip("*")
            found[name] = [entry[2]]
        elif name and line.strip():
            found[name].append(line.strip())
    return {name: " ".join(parts).strip() for name, parts in found.items()}


def _numpy(lines: list[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for at, line in enumerate(lines):
        if line.strip() and _underlined(lines, at):
            break
        if line.startswith((" ", "\t")):
            for name in names:
                found[name].append(line.strip())
        elif entry := _NUMPY_NAMES.fullmatch(line.strip()):
            names = [name.strip().lstrip("*") for name in entry[1].split(",")]
            found |= {name: [] for name in names}
    return {name: " ".join(parts).strip() for name, parts in found.items()}
