"""Functions of text."""

from __future__ import annotations

import json
from typing import Any

from barbule.functions.udf import udf

__all__ = ["format"]


def _text(value: Any) -> str:
    """Write a value the way a prompt wants it."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1:
        return _text(*value.values())
    if isinstance(value, list | tuple):
        return "\n\n".join(_text(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


@udf(return_type=str, version="1", name="barbule.functions.string.format")
def format(template: str, *args: Any, **kwargs: Any) -> str:  # noqa: A001 - the name that users know
    r"""Fill the places of a template, as `str.format` does.

    Lists are joined by empty lines, and a row of one column shows its value: the rows that a
    query found read as paragraphs. Other rows are written as JSON.

    Parameters
    ----------
    template
        Text with places: `{0}`, `{name}`.
    args, kwargs
        What fills them, columns among it. A row with a missing value gives a missing result.

    Examples
    --------
    >>> from barbule.functions import string
    >>> string.format("Context:\n{0}\n\nQuestion: {q}", [{"text": "A."}, {"text": "B."}], q="Why?")
    'Context:\nA.\n\nB.\n\nQuestion: Why?'
    """
    return template.format(*map(_text, args), **{name: _text(v) for name, v in kwargs.items()})
