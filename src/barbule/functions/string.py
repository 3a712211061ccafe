"""String functions, and the iterator that splits texts into chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.functions.language_models.templates import check, fill
from barbule.functions.registry import register
from barbule.functions.udf import udf
from barbule.suggestions import FunctionNamespace, check_arguments, suggesting_getattr

__all__ = ["StringSplitter", "format", "split_text"]


def format(template: str, *args: Any, **kwargs: Any) -> str | None:  # noqa: A001 - the name that users know
    r"""Fill the placeholders of a template, as `str.format` does.

    Lists are joined by empty lines, and a row with one column shows its value: the rows that a
    query found read as paragraphs. Other rows are written as JSON.

    Parameters
    ----------
    template
        A string with placeholders: `{0}`, `{name}`.
    args, kwargs
        The values, which may be columns. A row with a missing value returns a missing result.
        Numbers and timestamps may be formatted, `{0:.1f}`, and fields of records are read with
        `{0[name]}`.

    Raises
    ------
    ExpressionError
        When the call is written: a placeholder without a value, braces that are not placeholders
        (write JSON in a prompt with `{{` and `}}`), or a format that the type of a column does not
        support.

    Examples
    --------
    >>> from barbule.functions import string
    >>> string.format("Context:\n{0}\n\nQuestion: {q}", [{"text": "A."}, {"text": "B."}], q="Why?")
    'Context:\nA.\n\nB.\n\nQuestion: Why?'
    """
    return fill(template, args, kwargs)


def _prepare_format(arguments: dict[str, Any]) -> dict[str, Any]:
    values = dict(arguments)
    template, args = values.pop("template"), values.pop("*args", [])
    if isinstance(template, str):
        check(template, args, values)
    return arguments


# Columns that it has computed stay unchanged: its version has not changed.
format = register(  # noqa: A001
    replace(
        udf(format, return_type=str, version="1", name="barbule.functions.string.format"),
        prepare=_prepare_format,
    )
)


@udf(
    return_type=dt.Array(dt.Struct({"text": dt.string, "pos": dt.int64})),
    version="1",
    name="barbule.functions.string.split_text",
)
def split_text(
    text: str,
    separators: Any = None,
    chunk_size: int | None = None,
    overlap: int | None = 0,
    limit: int | None = None,
    tiktoken_encoding: str | None = None,
    tiktoken_target_model: str | None = None,
) -> list[dict[str, Any]]:
    """Split a text into chunks; see `StringSplitter.create`."""
    from barbule.media.chunking import chunking_options, split_text

    options = chunking_options(
        separators,
        chunk_size=chunk_size,
        overlap=overlap,
        limit=limit,
        tiktoken_encoding=tiktoken_encoding,
        tiktoken_target_model=tiktoken_target_model,
    )
    return [{"text": part, "pos": pos} for pos, part in enumerate(split_text(text, options))]


class StringSplitter(FunctionNamespace):
    """Creates the iterator that splits columns of text into chunks."""

    @staticmethod
    @check_arguments
    def create(
        text: object,
        separators: Sequence[str] | str | None = None,
        *,
        chunk_size: int | None = None,
        overlap: int | None = 0,
        limit: int | None = None,
        tiktoken_encoding: str | None = None,
        tiktoken_target_model: str | None = None,
    ) -> ir.Value:
        r"""Split each text of a column into chunks.

        The rows of the view have `text` and `pos` (from 0). The options are those of
        `DocumentSplitter.create`, but a text has no pages and no headings.

        Parameters
        ----------
        text
            A column of strings.
        separators
            A list of strings at which text is split, merged up to `chunk_size` characters; or names
            joined by commas: "paragraph", "sentence", "char_limit", "token_limit", with `limit`.
            "recursive", "markdown" and "code" fill chunks up to `limit`.
        chunk_size
            The maximum number of characters of a chunk, for the list form.
        overlap
            The maximum length of preceding text that a chunk repeats.
        limit
            The maximum number of characters or tokens of a chunk, for the names.
        tiktoken_encoding, tiktoken_target_model
            The tokenizer.

        Raises
        ------
        ConfigurationError
            If an option is invalid; before anything is read.

        Examples
        --------
        >>> import barbule as bb
        >>> notes = bb.create_table("notes", {"note": bb.String})
        >>> _ = notes.insert(note="Barbs branch. Barbules hook!")
        >>> sentences = bb.create_view(
        ...     "sentences",
        ...     notes,
        ...     iterator=bb.functions.StringSplitter.create(notes.note, separators="sentence"),
        ... )
        >>> sentences.order_by("pos").collect()["text"]
        ['Barbs branch.', 'Barbules hook!']
        """
        from barbule.media.chunking import chunking_options

        options: dict[str, Any] = {
            "chunk_size": chunk_size,
            "overlap": overlap,
            "limit": limit,
            "tiktoken_encoding": tiktoken_encoding,
            "tiktoken_target_model": tiktoken_target_model,
        }
        chunking_options(separators, **options)  # invalid options fail immediately
        storable = separators if isinstance(separators, str | None) else list(separators)
        return split_text(text, storable, **options)


if not TYPE_CHECKING:  # which lists the available names
    __getattr__ = suggesting_getattr(__name__, __all__)
