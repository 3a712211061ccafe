"""How document functions read a file: a scan is an error, not an empty document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from barbule.errors import ConfigurationError, MediaError
from barbule.types import Document

if TYPE_CHECKING:
    from barbule.media.documents import DocumentText

__all__ = ["File", "check_call", "check_encoding", "readable"]

File = Annotated[str, Document]  # a local path


def check_encoding(encoding: object) -> None:
    """Check the name of an encoding.

    Raises
    ------
    ConfigurationError
        If it is not supported.
    """
    from barbule.media.documents import codec_of

    if encoding is not None and (not isinstance(encoding, str) or codec_of(encoding) is None):
        raise ConfigurationError(
            f"the encoding {encoding!r} is not supported.",
            hint='Pass the name of an encoding, such as "utf-8", "cp1252" or "shift_jis".',
        )


def check_call(arguments: dict[str, Any]) -> None:
    """Check the constant arguments of a call."""
    if isinstance(encoding := arguments.get("encoding"), str):
        check_encoding(encoding)


def readable(
    path: str,
    *,
    ocr: bool | None,
    skip_tags: tuple[str, ...] = (),
    encoding: str | None = None,
) -> DocumentText:
    """Read a document.

    Parameters
    ----------
    path
        The file.
    ocr
        Whether to recognise text on pages that are images; False returns them without text, None
        refuses a document that has no other pages.
    skip_tags
        Names of HTML elements to skip.
    encoding
        The encoding of a text file; None detects it.

    Raises
    ------
    MediaError
        If it cannot be read, or is a scan and `ocr` is None.
    ConfigurationError
        If the encoding is not supported.
    """
    from barbule.media.documents import ReadingOptions, read_document

    check_encoding(encoding)
    content = read_document(Path(path), ReadingOptions(bool(ocr), skip_tags, encoding))
    if ocr is None and not content.blocks and content.scanned:
        raise MediaError(
            f"{path} is a scan: its pages are images without text.",
            hint="Pass ocr=True to recognise the text (this needs 'barbule[ocr]'), or ocr=False "
            "to return no text.",
        )
    return content
