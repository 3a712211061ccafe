"""How media look in a page: thumbnails, players and first pages, as HTML that needs nothing else.

Owns what is drawn of each kind of media. All pictures and sounds are embedded; every text is
escaped; what cannot be opened shows why.
"""

from __future__ import annotations

import base64
import html
import mimetypes
from typing import TYPE_CHECKING

from barbule.errors import BarbuleError
from barbule.types import Audio, Document, Image, Video

if TYPE_CHECKING:
    from pathlib import Path

    import PIL.Image

    from barbule.media.library import MediaLibrary
    from barbule.types import Media

__all__ = ["error_html", "media_html"]

_SIDE = 128  # pixels, of the longer side of a thumbnail
_MOST_PLAYED = 2 << 20  # bytes of a file that is embedded; more would make notebooks heavy
_MOST_TEXT = 240
_ORIENTATION = 0x0112
_ON_ITS_SIDE = {5, 6, 7, 8}
_TEXT = "max-width:24em;max-height:8em;overflow:hidden;white-space:pre-wrap;margin:0"


def media_html(reference: str, kind: Media, library: MediaLibrary) -> str:
    """Draw a media cell.

    Parameters
    ----------
    reference
        What the cell holds: a path, a URL, a name in the store.
    kind
        The type of the column.
    library
        Opens it.

    Returns
    -------
    str
        A fragment of HTML: an `img` of at most 128 x 128 pixels, an `audio` or `video` player
        (where the file has more than 2 MB the first frame, or the name alone), the first page
        of a PDF, the beginning of another document. Where the file cannot be opened, the
        reason.

    Examples
    --------
    >>> from pathlib import Path
    >>> from barbule.media.library import MediaLibrary
    >>> library = MediaLibrary("memory://media", Path("cache"))
    >>> media_html("missing.png", Image(), library)[:26]
    '<span style="color:#b00020'
    """
    try:
        if isinstance(kind, Image):
            return _thumbnail(library.image(reference), reference)
        path = library.path(reference)
        if isinstance(kind, Video):
            return _video(path, reference)
        if isinstance(kind, Audio):
            return _player("audio", path, reference)
        if isinstance(kind, Document):
            return _document(path, reference)
    except (BarbuleError, OSError, ValueError) as error:
        return error_html(str(error))
    return html.escape(reference)


def error_html(message: str) -> str:
    """Draw why a cell is empty.

    Examples
    --------
    >>> error_html("no <image>")
    '<span style="color:#b00020;white-space:pre-wrap">⚠ no &lt;image&gt;</span>'
    """
    return f'<span style="color:#b00020;white-space:pre-wrap">⚠ {html.escape(message)}</span>'


def _thumbnail(image: PIL.Image.Image, reference: str) -> str:
    from PIL import ImageOps

    from barbule.media.images import encode_image

    size = image.size
    image.draft("RGB", (2 * _SIDE, 2 * _SIDE))
    if image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE:
        size = size[::-1]
    image = ImageOps.exif_transpose(image)
    if image.mode not in {"RGB", "RGBA", "L"}:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image.thumbnail((_SIDE, _SIDE))
    image.info.clear()  # what it says of the whole image does not hold for this one
    clear = image.mode == "RGBA"
    data = encode_image(image, "PNG") if clear else encode_image(image, "JPEG", quality=80)
    title = f"{_name(reference)} ({size[0]} × {size[1]})"
    return (
        f'<img src="{_embedded(data, "image/png" if clear else "image/jpeg")}" '
        f'width="{image.width}" height="{image.height}" '
        f'title="{html.escape(title)}" alt="{html.escape(_name(reference))}">'
    )


def _video(path: Path, reference: str) -> str:
    if path.stat().st_size <= _MOST_PLAYED:
        return _player("video", path, reference)
    from barbule.media.streams.frames import frame_at

    first = frame_at(path, 0.0)
    return _caption(reference) if first is None else _thumbnail(first, reference)


def _player(tag: str, path: Path, reference: str) -> str:
    if path.stat().st_size > _MOST_PLAYED:
        return _caption(reference)
    kind = mimetypes.guess_type(path.name)[0]
    if kind is None or not kind.startswith(("audio/", "video/")):
        kind = f"{tag}/*"
    size = f' width="{2 * _SIDE}"' if tag == "video" else ""
    name = html.escape(_name(reference))
    return (
        f'<{tag} controls preload="metadata"{size} title="{name}" '
        f'src="{_embedded(path.read_bytes(), kind)}"></{tag}>'
    )


def _document(path: Path, reference: str) -> str:
    from barbule.media.documents import read_document, validate_document

    if validate_document(path) == "pdf":
        from barbule.media.documents.pdf import first_page

        return _thumbnail(first_page(path, _SIDE), reference)
    found = read_document(path)
    text = "\n".join(block.text for block in found.blocks[:8])[:_MOST_TEXT]
    title = f"<b>{html.escape(found.title)}</b>\n" if found.title else ""
    return f'<pre style="{_TEXT}">{title}{html.escape(text)}</pre>'


def _caption(reference: str) -> str:
    return f"<i>{html.escape(_name(reference))}</i>"


def _name(reference: str) -> str:
    """Return the last part of a reference; a data: URI has no name, and a query may hold keys."""
    if reference.startswith("data:"):
        return "data"
    return reference.split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1]


def _embedded(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
