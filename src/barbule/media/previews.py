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

__all__ = ["STYLE", "error_html", "media_html", "media_name"]

_SIDE = 128  # pixels of a page, of the longer side of a thumbnail
_DENSE = 2  # pixels of a dense screen for each of them
_MOST_PLAYED = 2 << 20  # bytes of a file that is embedded
_EXCERPT = 20.0  # seconds of a longer sound
_MOST_TEXT = 240
_ORIENTATION = 0x0112
_ON_ITS_SIDE = {5, 6, 7, 8}
_PLAYED = {
    "video": {".mp4", ".m4v", ".mov", ".webm", ".ogv"},
    "audio": {".wav", ".mp3", ".flac", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".weba"},
}
STYLE = """.barbule img,.barbule video {display:block;border-radius:4px;max-width:none;margin:0}
.barbule img.page {border:1px solid rgba(128,128,128,.4);border-radius:2px}
.barbule audio {width:256px;height:36px;display:block}
.barbule .caption {font-size:11px;color:#8a8a8a;max-width:22em;overflow-wrap:anywhere}
.barbule .document {max-width:26em;max-height:8.7em;overflow:hidden;white-space:pre-wrap;margin:0;
font:12px/1.45 inherit;border-left:3px solid rgba(128,128,128,.35);padding-left:8px}
.barbule .error {width:max-content;max-width:32em;max-height:8.7em;overflow:auto;
white-space:pre-wrap;text-align:left;color:#c0392b;background:rgba(192,57,43,.08);
border-left:3px solid #c0392b;padding:3px 8px;border-radius:2px;overflow-wrap:anywhere}"""


def media_html(reference: str, kind: Media, library: MediaLibrary, most: int = _MOST_PLAYED) -> str:
    """Draw a media cell.

    Parameters
    ----------
    reference
        What the cell holds: a path, a URL, a name in the store.
    kind
        The type of the column.
    library
        Opens it.
    most
        Bytes of a file that may be embedded, at most 2 MB.

    Returns
    -------
    str
        A fragment of HTML: an `img` of at most 128 x 128 pixels; an `audio` or `video` player,
        where the file is small enough and of a kind that browsers play, else one of the first
        seconds of the sound, or the first frame; the first page of a PDF, the beginning of
        another document. Where the file cannot be opened, the reason.

    Examples
    --------
    >>> from pathlib import Path
    >>> from barbule.media.library import MediaLibrary
    >>> library = MediaLibrary("memory://media", Path("cache"))
    >>> media_html("missing.png", Image(), library)[:19]
    '<div class="error">'
    """
    most = min(most, _MOST_PLAYED)
    try:
        if isinstance(kind, Image):
            return _image(reference, library)
        path = library.path(reference)
        if isinstance(kind, Video):
            return _video(path, reference, most)
        if isinstance(kind, Audio):
            return _audio(path, reference, most)
        if isinstance(kind, Document):
            with library.isolation.entered():
                return _document(path, reference)
    except (BarbuleError, OSError, ValueError) as error:
        return error_html(str(error))
    return html.escape(reference)


def error_html(message: str, kind: str = "") -> str:
    """Draw why a cell is empty.

    Examples
    --------
    >>> error_html("no <image>", "MediaError")
    '<div class="error"><b>MediaError</b> no &lt;image&gt;</div>'
    """
    name = f"<b>{html.escape(kind)}</b> " if kind else ""
    return f'<div class="error">{name}{html.escape(message)}</div>'


def _image(reference: str, library: MediaLibrary) -> str:
    from barbule.media.images.image_files import decoding_errors, load_pixels, open_lazily

    if reference.startswith("frame:"):
        image = library.image(reference)
        return _thumbnail(image, image.size, reference)
    path = library.path(reference)
    with decoding_errors(path, media_name(reference)), open_lazily(path) as image:
        size = image.size
        # A JPEG is read at the smallest size that is enough.
        image.draft("RGB", (_DENSE * _SIDE, _DENSE * _SIDE))
        return _thumbnail(load_pixels(image, path), size, reference)


def _thumbnail(
    image: PIL.Image.Image, size: tuple[int, int], reference: str, style: str = ""
) -> str:
    from PIL import ImageOps

    from barbule.media.images.conversion import shrink, srgb
    from barbule.media.images.encoding import encode_image

    if image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE:
        size = size[::-1]
    image = ImageOps.exif_transpose(image)
    if image.mode in {"P", "PA", "1"}:  # of which pixels cannot be mixed
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image = srgb(shrink(image, (_DENSE * _SIDE, _DENSE * _SIDE)))
    image.info.clear()  # what it says of the whole image does not hold for this one
    clear = image.mode == "RGBA"
    data = encode_image(image, "PNG") if clear else encode_image(image, "JPEG", quality=80)
    scale = min(1.0, _SIDE / max(*size, 1))
    width, height = (max(1, round(side * scale)) for side in size)
    name = html.escape(media_name(reference))
    title = f"{name} ({size[0]} × {size[1]})"
    shown = f' class="{style}"' if style else ""
    return (
        f'<img{shown} src="{_embedded(data, "image/png" if clear else "image/jpeg")}" '
        f'width="{width}" height="{height}" title="{title}" alt="{name}">'
    )


def _video(path: Path, reference: str, most: int) -> str:
    if _is_played("video", path, most):
        return _player("video", path.read_bytes(), _kind("video", path), reference)
    from barbule.media.streams.frames import frame_at
    from barbule.media.streams.probing import duration

    first, length = frame_at(path, 0.0), duration(path)
    drawn = "" if first is None else _thumbnail(first, first.size, reference)
    return drawn + _caption(f"{media_name(reference)}, {_clock(length)}: its first frame")


def _audio(path: Path, reference: str, most: int) -> str:
    if _is_played("audio", path, most):
        return _player("audio", path.read_bytes(), _kind("audio", path), reference)
    from barbule.media.streams.editing.sound_tracks import Span, cut_sound
    from barbule.media.streams.probing import duration

    excerpt = cut_sound(path, Span(0.0, _EXCERPT), format="mp3")
    if excerpt is None:
        return _caption(media_name(reference))
    player = _player("audio", excerpt.path.read_bytes(), "audio/mpeg", reference)
    told = f"{media_name(reference)}, {_clock(duration(path))}: its first {_EXCERPT:.0f} seconds"
    return player + _caption(told)


def _is_played(tag: str, path: Path, most: int) -> bool:
    return path.suffix.lower() in _PLAYED[tag] and path.stat().st_size <= most


def _kind(tag: str, path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or ""
    return kind if kind.startswith(("audio/", "video/")) else f"{tag}/{path.suffix[1:].lower()}"


def _player(tag: str, data: bytes, kind: str, reference: str) -> str:
    size = f' width="{2 * _SIDE}"' if tag == "video" else ""
    return (
        f'<{tag} controls preload="metadata"{size} title="{html.escape(media_name(reference))}" '
        f'src="{_embedded(data, kind)}"></{tag}>'
    )


def _document(path: Path, reference: str) -> str:
    from barbule.media.documents import read_document, validate_document

    if validate_document(path) == "pdf":
        from barbule.media.documents.pdf.pdf import first_page

        page = first_page(path, _DENSE * _SIDE)
        return _thumbnail(page, page.size, reference, "page") + _caption(media_name(reference))
    found = read_document(path)
    text = "\n".join(block.text for block in found.blocks[:8])[:_MOST_TEXT]
    title = f"<b>{html.escape(found.title)}</b>\n" if found.title else ""
    return f'<div class="document">{title}{html.escape(text)}</div>' + _caption(
        media_name(reference)
    )


def _caption(text: str) -> str:
    return f'<div class="caption">{html.escape(text)}</div>'


def _clock(seconds: float | None) -> str:
    """Write a length as a player does.

    Examples
    --------
    >>> _clock(3671.2)
    '1:01:11'
    """
    if seconds is None:
        return "of unknown length"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def media_name(reference: str) -> str:
    """Return the last part of a reference; a data: URI has no name, and a query may hold keys.

    Examples
    --------
    >>> media_name("https://example.com/photos/up.jpg?key=secret")
    'up.jpg'
    """
    if reference.startswith("data:"):
        return "data"
    return reference.split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1]


def _embedded(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
