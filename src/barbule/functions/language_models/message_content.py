"""What is said to models: messages with images, sounds and documents among their texts.

Owns both halves of it: *marking* media columns when a call is written, so that nothing has to be
guessed when it runs, and *filling* the marked places with what providers take. How big a sent
image may be is decided here.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.errors import ExpressionError, MediaError, UnsupportedError
from barbule.types import Audio, Document, Image, Media, Video

if TYPE_CHECKING:
    from barbule.models.base import ModelClient

__all__ = ["fill", "fill_messages", "is_marked", "mark", "mark_messages", "text_of"]

_LONGEST_SIDE = 2048  # pixels; providers scale down what is larger
_MOST_BYTES = 4_500_000  # of an image; the strictest provider takes 5 MB
_INLINE = 1 << 18  # bytes of an image that are looked at without leaving the event loop
_SENT_AS_IS = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}

_KINDS: dict[type[Media], str] = {
    Image: "image",
    Audio: "audio",
    Video: "video",
    Document: "document",
}


# -- Marking, when a call is written --------------------------------------------------------------


def mark(value: Any) -> Any:
    """Mark a media column, or an image, as such; return everything else as it is.

    Examples
    --------
    >>> import ibis
    >>> from barbule.types import Image
    >>> t = ibis.table({"img": Image(), "text": "string"}, name="t")
    >>> mark(t.img)["media"], mark(t.text).get_name()
    ('image', 'text')
    """
    kind = _media_kind(value)
    return value if kind is None else {"type": "media", "media": kind, "of": value}


def is_marked(value: Any) -> bool:
    """Whether a value is a marked medium."""
    return isinstance(value, Mapping) and value.get("type") == "media" and "of" in value


def mark_messages(messages: Any) -> Any:
    """Mark the media in messages, and write texts beside them as parts of their own.

    A medium may stand where OpenAI's or Anthropic's form has one, or by itself in the content.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        return messages
    return [
        {**message, "content": _mark_content(message["content"])}
        if isinstance(message, Mapping) and "content" in message
        else message
        for message in messages
    ]


def _mark_content(content: Any) -> Any:
    if (marked := mark(content)) is not content:
        return [marked]
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_mark_part(part) for part in content]
    return content


def _mark_part(part: Any) -> Any:
    if (marked := mark(part)) is not part:
        return marked
    if isinstance(part, str) or (isinstance(part, ir.Expr) and part.type().is_string()):
        return {"type": "text", "text": part}
    if isinstance(part, Mapping):
        leaves = dict(_leaves(part))
        found = [value for value in leaves.values() if _media_kind(value) is not None]
        if found:
            more = {"detail": leaves["detail"]} if "detail" in leaves else {}
            return {**mark(found[0]), **more}
    return part


def _leaves(part: Mapping[str, Any]) -> Any:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        else:
            yield name, value


def _media_kind(value: Any) -> str | None:
    if type(value).__module__.startswith("PIL.") and hasattr(value, "save"):
        return "image"
    if not isinstance(value, ir.Expr) or isinstance(value, ir.Table):
        return None
    kind = value.type()
    if isinstance(kind, dt.Array) and isinstance(kind.value_type, Media):
        raise ExpressionError(
            "a list of media cannot be sent to a model.",
            hint="Unnest the column, or name its items one by one.",
        )
    return next((name for each, name in _KINDS.items() if isinstance(kind, each)), None)


# -- Filling, when it runs ------------------------------------------------------------------------


def text_of(value: Any) -> str:
    r"""Write a value the way a prompt wants it.

    Examples
    --------
    >>> text_of(["A.", "B."]), text_of({"text": "A."}), text_of(3)
    ('A.\n\nB.', 'A.', '3')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1:
        return text_of(*value.values())
    if value is None:  # within a list or a record
        return ""
    if isinstance(value, list | tuple):
        return "\n\n".join(text_of(item) for item in value if item is not None)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


async def fill(client: ModelClient, model: str, value: Any) -> Any:
    """Return the content of a message for one value: a text, or a list with one part."""
    return [await _part(client, model, value)] if is_marked(value) else text_of(value)


async def fill_messages(
    client: ModelClient, model: str, messages: Any, *, form: str = "openai"
) -> Any:
    """Put what a provider takes into the marked places of messages.

    Parameters
    ----------
    form
        "openai" or "anthropic": how parts look.
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return [await _fill_message(client, model, message, form) for message in messages]


async def _fill_message(client: ModelClient, model: str, message: Any, form: str) -> Any:
    if not isinstance(message, Mapping):
        return message
    content = message.get("content")
    # A message that comes from a Struct column has all of its fields, those it lacks too.
    filled = {key: value for key, value in message.items() if value is not None}
    if isinstance(content, list) and any(is_marked(part) for part in content):
        filled["content"] = [
            await _part(client, model, part, form) if is_marked(part) else part for part in content
        ]
    return filled if "content" not in message else {**filled, "content": filled.get("content")}


async def _part(
    client: ModelClient, model: str, marked: Mapping[str, Any], form: str = "openai"
) -> dict[str, Any]:
    kind, value = marked["media"], marked["of"]
    if kind == "image":
        data, mime = await _image(value)
        return _image_part(data, mime, form, marked.get("detail"))
    path = Path(value)
    if kind == "document":
        return await asyncio.to_thread(_document_part, client, model, path, form)
    if form == "anthropic":
        raise UnsupportedError(
            f"Anthropic's form of messages has no place for {kind}.",
            hint=f"Ask with chat_completions, and a model that takes {kind}.",
        )
    content = await asyncio.to_thread(path.read_bytes)
    encoded = base64.b64encode(content).decode()
    if kind == "audio":
        sound = {"data": encoded, "format": _sound_format(content, path)}
        return {"type": "input_audio", "input_audio": sound}
    mime = _VIDEO.get(path.suffix.lower(), "video/mp4")
    return {"type": "file", "file": {"file_data": f"data:{mime};base64,{encoded}"}}


_VIDEO = {".webm": "video/webm", ".mov": "video/quicktime", ".avi": "video/x-msvideo"}


async def _image(value: Any) -> tuple[bytes, str]:
    data = bytes(value)
    return _fitting(data) if len(data) <= _INLINE else await asyncio.to_thread(_fitting, data)


def _fitting(data: bytes) -> tuple[bytes, str]:
    """Return an image in a size and a format that models take; most are sent as they are."""
    import PIL.Image
    import PIL.ImageOps

    from barbule.media.images.conversion import shrink
    from barbule.media.images.encoding import encode_image
    from barbule.media.images.image_files import image_bytes_suffix

    mime = _SENT_AS_IS.get(image_bytes_suffix(data))
    with PIL.Image.open(io.BytesIO(data)) as image:
        if mime and len(data) <= _MOST_BYTES and max(image.size) <= _LONGEST_SIDE:
            return data, mime
        upright = PIL.ImageOps.exif_transpose(image)
        upright = shrink(upright, (_LONGEST_SIDE, _LONGEST_SIDE))
        if mime != "image/jpeg" and len(encoded := encode_image(upright, "PNG")) <= _MOST_BYTES:
            return encoded, "image/png"
        return encode_image(upright, "JPEG"), "image/jpeg"


def _image_part(data: bytes, mime: str, form: str, detail: Any) -> dict[str, Any]:
    encoded = base64.b64encode(data).decode()
    if form == "anthropic":
        source = {"type": "base64", "media_type": mime, "data": encoded}
        return {"type": "image", "source": source}
    url = {"url": f"data:{mime};base64,{encoded}"}
    return {"type": "image_url", "image_url": {**url, "detail": detail} if detail else url}


def _document_part(client: ModelClient, model: str, path: Path, form: str) -> dict[str, Any]:
    """Send a PDF whole to a model that reads PDFs; of every other document the text."""
    with path.open("rb") as file:
        is_pdf = file.read(5) == b"%PDF-"
    if not (is_pdf and client.takes(model, "pdf")):
        from barbule.media.documents import read_document

        found = read_document(path)
        if found.scanned and not found.blocks:
            raise MediaError(
                f"{path} is a scan: its pages are pictures without text, and {model} takes no PDF.",
                hint="Ask a model that takes PDFs, or about the recognised text: "
                "bb.functions.document.text(t.doc, ocr=True), which needs 'barbule[ocr]'.",
            )
        return {"type": "text", "text": "\n\n".join(block.text for block in found.blocks)}
    encoded = base64.b64encode(path.read_bytes()).decode()
    if form == "anthropic":
        source = {"type": "base64", "media_type": "application/pdf", "data": encoded}
        return {"type": "document", "source": source}
    data = {"filename": path.name, "file_data": f"data:application/pdf;base64,{encoded}"}
    return {"type": "file", "file": data}


def _sound_format(content: bytes, path: Path) -> str:
    if content.startswith(b"RIFF"):
        return "wav"
    if content.startswith((b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")):
        return "mp3"
    for start, name in ((b"fLaC", "flac"), (b"OggS", "ogg")):
        if content.startswith(start):
            return name
    return path.suffix.lower().removeprefix(".") or "wav"
