"""Functions of text."""

from __future__ import annotations

from typing import Any

from barbule.functions.content import text_of
from barbule.functions.udf import udf

__all__ = ["format"]


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
    return template.format(*map(text_of, args), **{name: text_of(v) for name, v in kwargs.items()})
