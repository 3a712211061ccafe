"""HTML previews of media: thumbnails, players and first pages, with no reference to other files.

Owns the preview of each media type. All images and audio are embedded; every text is escaped; an
unreadable file shows its error.
"""

from __future__ import annotations

import base64
import html
import mimetypes
from typing import TYPE_CHECKING

from barbule.errors import BarbuleError
from barbule.types import declaration

if TYPE_CHECKING:
    from pathlib import Path

    import PIL.Image

    from barbule.media.library import MediaLibrary
    from barbule.types import Media

__all__ = ["STYLE", "error_html", "media_html", "media_name"]

_THUMBNAIL_PIXELS = 128  # pixels of a page, of the longer side of a thumbnail
_PIXEL_DENSITY = 2  # pixels of a dense screen for each of them
_MAX_EMBEDDED_BYTES = 2 << 20  # bytes of a file that is embedded
_EXCERPT_SECONDS = 20.0  # seconds of longer audio
_MAX_TEXT_CHARACTERS = 240
_ORIENTATION = 0x0112
_ROTATED_ORIENTATIONS = {5, 6, 7, 8}
_PLAYABLE_SUFFIXES = {
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


def media_html(
    reference: str, kind: Media, library: MediaLibrary, max_bytes: int = _MAX_EMBEDDED_BYTES
) -> str:
    """Render a media cell.

    Parameters
    ----------
    reference
        The content of the cell: a path, a URL, a name in the store.
    kind
        The type of the column.
    library
        Opens it.
    max_bytes
        Bytes of a file that may be embedded, at most 2 MB.

    Returns
    -------
    str
        A fragment of HTML: an `img` of at most 128 x 128 pixels; an `audio` or `video` player if
        the file is small enough and browsers can play it, otherwise a player of the first seconds
        of the audio, or the first frame; the first page of a PDF, the beginning of another
        document. If the file cannot be opened, the error.

    Examples
    --------
    >>> from pathlib import Path
    >>> from barbule.media.library import MediaLibrary
    >>> library = MediaLibrary("memory://media", Path("cache"))
    >>> from barbule.types import Image
    >>> media_html("missing.png", Image(), library)[:19]
    '<div class="error">'
    """
    max_bytes = min(max_bytes, _MAX_EMBEDDED_BYTES)
    try:
        modality = declaration(kind).modality
        if modality == "image":
            return _image_html(reference, library)
        path = library.path(reference)
        if modality == "video":
            return _video_html(path, reference, max_bytes)
        if modality == "audio":
            return _audio_html(path, reference, max_bytes)
        if modality == "document":
            with library.isolation.entered():
                return _document_html(path, reference)
    except (BarbuleError, OSError, ValueError) as error:
        return error_html(str(error))
    return html.escape(reference)


def error_html(message: str, kind: str = "") -> str:
    """Render the error of an empty cell.

    Examples
    --------
    >>> error_html("no <image>", "MediaError")
    '<div class="error"><b>MediaError</b> no &lt;image&gt;</div>'
    """
    name = f"<b>{html.escape(kind)}</b> " if kind else ""
    return f'<div class="error">{name}{html.escape(message)}</div>'


def _image_html(reference: str, library: MediaLibrary) -> str:
    from barbule.media.images.image_files import decoding_errors, load_pixels, open_lazily

    if reference.startswith("frame:"):
        image = library.image(reference)
        return _thumbnail_html(image, image.size, reference)
    path = library.path(reference)
    with decoding_errors(path, media_name(reference)), open_lazily(path) as image:
        size = image.size
        # A JPEG is read at the smallest size that is enough.
        image.draft("RGB", (_PIXEL_DENSITY * _THUMBNAIL_PIXELS, _PIXEL_DENSITY * _THUMBNAIL_PIXELS))
        return _thumbnail_html(load_pixels(image, path), size, reference)


def _thumbnail_html(
    image: PIL.Image.Image, size: tuple[int, int], reference: str, style: str = ""
) -> str:
    from PIL import ImageOps

    from barbule.media.images.conversion import shrink, srgb
    from barbule.media.images.encoding import encode_image

    if image.getexif().get(_ORIENTATION) in _ROTATED_ORIENTATIONS:
        size = size[::-1]
    image = ImageOps.exif_transpose(image)
    if image.mode in {"P", "PA", "1"}:  # of which pixels cannot be mixed
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image = srgb(
        shrink(image, (_PIXEL_DENSITY * _THUMBNAIL_PIXELS, _PIXEL_DENSITY * _THUMBNAIL_PIXELS))
    )
    image.info.clear()  # metadata of the full image does not apply to this one
    has_alpha = image.mode == "RGBA"
    data = encode_image(image, "PNG") if has_alpha else encode_image(image, "JPEG", quality=80)
    scale = min(1.0, _THUMBNAIL_PIXELS / max(*size, 1))
    width, height = (max(1, round(side * scale)) for side in size)
    name = html.escape(media_name(reference))
    title = f"{name} ({size[0]} × {size[1]})"
    class_attribute = f' class="{style}"' if style else ""
    uri = _data_uri(data, "image/png" if has_alpha else "image/jpeg")
    return (
        f'<img{class_attribute} src="{uri}" '
        f'width="{width}" height="{height}" title="{title}" alt="{name}">'
    )


def _video_html(path: Path, reference: str, max_bytes: int) -> str:
    if _is_playable("video", path, max_bytes):
        return _player_html("video", path.read_bytes(), _mime_type("video", path), reference)
    from barbule.media.streams.frames import frame_at
    from barbule.media.streams.probing import duration

    first, length = frame_at(path, 0.0), duration(path)
    thumbnail = "" if first is None else _thumbnail_html(first, first.size, reference)
    return thumbnail + _caption_html(
        f"{media_name(reference)}, {_clock_time(length)}: its first frame"
    )


def _audio_html(path: Path, reference: str, max_bytes: int) -> str:
    if _is_playable("audio", path, max_bytes):
        return _player_html("audio", path.read_bytes(), _mime_type("audio", path), reference)
    from barbule.media.streams.editing.sound_tracks import Span, cut_sound
    from barbule.media.streams.probing import duration

    excerpt = cut_sound(path, Span(0.0, _EXCERPT_SECONDS), format="mp3")
    if excerpt is None:
        return _caption_html(media_name(reference))
    player = _player_html("audio", excerpt.path.read_bytes(), "audio/mpeg", reference)
    length = _clock_time(duration(path))
    excerpt_name = f"its first {_EXCERPT_SECONDS:.0f} seconds"
    return player + _caption_html(f"{media_name(reference)}, {length}: {excerpt_name}")


def _is_playable(tag: str, path: Path, max_bytes: int) -> bool:
    return path.suffix.lower() in _PLAYABLE_SUFFIXES[tag] and path.stat().st_size <= max_bytes


def _mime_type(tag: str, path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or ""
    return kind if kind.startswith(("audio/", "video/")) else f"{tag}/{path.suffix[1:].lower()}"


def _player_html(tag: str, data: bytes, kind: str, reference: str) -> str:
    size = f' width="{2 * _THUMBNAIL_PIXELS}"' if tag == "video" else ""
    return (
        f'<{tag} controls preload="metadata"{size} title="{html.escape(media_name(reference))}" '
        f'src="{_data_uri(data, kind)}"></{tag}>'
    )


def _document_html(path: Path, reference: str) -> str:
    from barbule.media.documents import document_format, read_document

    if document_format(path) == "pdf":
        from barbule.media.documents.pdf.pdf import first_page

        page = first_page(path, _PIXEL_DENSITY * _THUMBNAIL_PIXELS)
        return _thumbnail_html(page, page.size, reference, "page") + _caption_html(
            media_name(reference)
        )
    document = read_document(path)
    text = "\n".join(block.text for block in document.blocks[:8])[:_MAX_TEXT_CHARACTERS]
    title = f"<b>{html.escape(document.title)}</b>\n" if document.title else ""
    return f'<div class="document">{title}{html.escape(text)}</div>' + _caption_html(
        media_name(reference)
    )


def _caption_html(text: str) -> str:
    return f'<div class="caption">{html.escape(text)}</div>'


def _clock_time(seconds: float | None) -> str:
    """Format a duration as a player does.

    Examples
    --------
    >>> _clock_time(3671.2)
    '1:01:11'
    """
    if seconds is None:
        return "of unknown length"
    minutes, remaining_seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours}:{minutes:02}:{remaining_seconds:02}"
        if hours
        else f"{minutes}:{remaining_seconds:02}"
    )


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


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
