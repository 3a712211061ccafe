"""The content of messages to models: text, images, audio and documents.

Owns both parts of it: *marking* media columns when a call is written, so that nothing has to be
guessed when it runs, and *filling* the marked parts in the format of a provider. The maximum size
of sent images is defined here.
"""

from __future__ import annotations

import asyncio
import base64
import io
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.errors import ExpressionError, MediaError, UnsupportedError
from barbule.json_codec import to_shown
from barbule.types import declaration

if TYPE_CHECKING:
    from barbule.models.base import ModelClient

__all__ = [
    "fill",
    "fill_messages",
    "fill_statement",
    "is_marked",
    "mark",
    "mark_messages",
    "statement_fields",
    "text_of",
]

Api = Literal["openai", "anthropic"]

_MAX_SIDE = 2048  # pixels; providers scale larger images down
_MAX_BYTES = 4_500_000  # of an image; the strictest provider takes 5 MB
_MAX_INLINE_BYTES = 1 << 18  # of an image that is opened without leaving the event loop
_ACCEPTED_FORMATS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
}

# -- Marking, when a call is written --------------------------------------------------------------


def mark(value: Any) -> Any:
    """Mark a media column, or an image; return everything else unchanged.

    Examples
    --------
    >>> import ibis
    >>> from barbule.types import Image
    >>> t = ibis.table({"img": Image(), "text": "string"}, name="t")
    >>> mark(t.img)["media"], mark(t.text).get_name()
    ('image', 'text')
    """
    media_type = _media_type(value)
    return value if media_type is None else {"type": "media", "media": media_type, "of": value}


def is_marked(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a value is a marked media file."""
    return isinstance(value, Mapping) and value.get("type") == "media" and "of" in value


def mark_messages(messages: Any) -> Any:
    """Mark the media in messages, and convert strings next to them to separate parts.

    A media column may be at any place where OpenAI's or Anthropic's format has media, or directly
    in the content.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        return messages
    return [
        {**message, "content": _mark_content(message["content"])}
        if isinstance(message, Mapping) and "content" in message
        else message
        for message in messages
    ]


def _mark_content(content: Any) -> object:
    if (marked := mark(content)) is not content:
        return [marked]
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_mark_part(part) for part in content]
    return content


def _mark_part(part: Any) -> object:
    if (marked := mark(part)) is not part:
        return marked
    if isinstance(part, str) or (isinstance(part, ir.Expr) and part.type().is_string()):
        return {"type": "text", "text": part}
    if isinstance(part, Mapping):
        leaves = dict(_leaves(part))
        media = [value for value in leaves.values() if _media_type(value) is not None]
        if media:
            detail = {"detail": leaves["detail"]} if "detail" in leaves else {}
            return {**mark(media[0]), **detail}
    return part


def _leaves(part: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        else:
            yield name, value


def _media_type(value: Any) -> str | None:
    if type(value).__module__.startswith("PIL.") and hasattr(value, "save"):
        return "image"
    if not isinstance(value, ir.Expr) or isinstance(value, ir.Table):
        return None
    dtype = value.type()
    if isinstance(dtype, dt.Array) and declaration(dtype.value_type).is_media:
        raise ExpressionError(
            "a list of media cannot be sent to a model.",
            hint="Unnest the column, or pass its items one by one.",
        )
    modality = declaration(dtype).modality
    return None if modality in {"text", "file"} else modality


# -- Filling, when it runs ------------------------------------------------------------------------


def text_of(value: object) -> str:
    r"""Write a value as text for a prompt.

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
        return to_shown(value)
    return str(value)


def fill_statement(condition: str, values: Mapping[str, Any]) -> str | list[Any]:
    """Fill the placeholders of a statement with values; media become parts between its texts."""
    parts: list[Any] = []
    text = ""
    for literal, field in statement_fields(condition):
        text += literal
        if field is None:
            continue
        if is_marked(values[field]):
            parts += [{"type": "text", "text": text}] if text.strip() else []
            parts.append(values[field])
            text = ""
        else:
            text += text_of(values[field])
    if not parts:
        return text
    return [*parts, {"type": "text", "text": text}] if text.strip() else parts


def statement_fields(condition: str) -> list[tuple[str, str | None]]:
    """List the literal texts of a template, each with the name of the placeholder after it."""
    fields: list[tuple[str, str | None]] = []
    for number, (literal, name, _, _) in enumerate(string.Formatter().parse(condition)):
        fields.append((literal, name or (None if name is None else str(number))))
    return fields


async def fill(client: ModelClient, model: str, value: object) -> str | list[dict[str, Any]]:
    """Return the content of a message for one value: a string, or a list with one part."""
    return [await _part(client, model, value)] if is_marked(value) else text_of(value)


async def fill_messages(
    client: ModelClient, model: str, messages: Any, *, api: Api = "openai"
) -> list[Any]:
    """Replace the marked parts of messages with parts that a provider accepts.

    Parameters
    ----------
    api
        The provider whose format the parts have.
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return [await _fill_message(client, model, message, api) for message in messages]


async def _fill_message(client: ModelClient, model: str, message: object, api: Api) -> object:
    if not isinstance(message, Mapping):
        return message
    content = message.get("content")
    # A message from a Struct column has all of its fields, including missing ones.
    filled = {key: value for key, value in message.items() if value is not None}
    if isinstance(content, list) and any(is_marked(part) for part in content):
        filled["content"] = [
            await _part(client, model, part, api) if is_marked(part) else part for part in content
        ]
    return filled if "content" not in message else {**filled, "content": filled.get("content")}


async def _part(
    client: ModelClient, model: str, marked: Mapping[str, Any], api: Api = "openai"
) -> dict[str, Any]:
    media_type, value = marked["media"], marked["of"]
    if media_type == "image":
        content, mime = await _image(value)
        return _image_part(content, mime, api, marked.get("detail"))
    path = Path(value)
    if media_type == "document":
        return await asyncio.to_thread(_document_part, client, model, path, api)
    if api == "anthropic":
        raise UnsupportedError(
            f"Anthropic's message format does not support {media_type}.",
            hint=f"Use chat_completions with a model that takes {media_type}.",
        )
    content = await asyncio.to_thread(path.read_bytes)
    encoded = base64.b64encode(content).decode()
    if media_type == "audio":
        sound = {"data": encoded, "format": _sound_format(content, path)}
        return {"type": "input_audio", "input_audio": sound}
    mime = _VIDEO_MIME_TYPES.get(path.suffix.lower(), "video/mp4")
    return {"type": "file", "file": {"file_data": f"data:{mime};base64,{encoded}"}}


_VIDEO_MIME_TYPES = {".webm": "video/webm", ".mov": "video/quicktime", ".avi": "video/x-msvideo"}


async def _image(value: bytes) -> tuple[bytes, str]:
    content = bytes(value)
    if len(content) <= _MAX_INLINE_BYTES:
        return _fit_image(content)
    return await asyncio.to_thread(_fit_image, content)


def _fit_image(content: bytes) -> tuple[bytes, str]:
    """Return an image in a size and a format that models accept; most are sent unchanged."""
    import PIL.Image
    import PIL.ImageOps

    from barbule.media.images.conversion import shrink
    from barbule.media.images.encoding import encode_image
    from barbule.media.images.image_files import image_bytes_suffix

    mime = _ACCEPTED_FORMATS.get(image_bytes_suffix(content))
    with PIL.Image.open(io.BytesIO(content)) as image:
        if mime and len(content) <= _MAX_BYTES and max(image.size) <= _MAX_SIDE:
            return content, mime
        upright = PIL.ImageOps.exif_transpose(image)
        upright = shrink(upright, (_MAX_SIDE, _MAX_SIDE))
        if mime != "image/jpeg" and len(encoded := encode_image(upright, "PNG")) <= _MAX_BYTES:
            return encoded, "image/png"
        return encode_image(upright, "JPEG"), "image/jpeg"


def _image_part(content: bytes, mime: str, api: Api, detail: str | None) -> dict[str, Any]:
    encoded = base64.b64encode(content).decode()
    if api == "anthropic":
        source = {"type": "base64", "media_type": mime, "data": encoded}
        return {"type": "image", "source": source}
    url = {"url": f"data:{mime};base64,{encoded}"}
    return {"type": "image_url", "image_url": {**url, "detail": detail} if detail else url}


def _document_part(client: ModelClient, model: str, path: Path, api: Api) -> dict[str, Any]:
    """Send a PDF as a file to a model that reads PDF files; send the text of any other document."""
    with path.open("rb") as file:
        is_pdf = file.read(5) == b"%PDF-"
    if not (is_pdf and client.takes(model, "pdf")):
        from barbule.media.documents import read_document

        document = read_document(path)
        if document.scanned and not document.blocks:
            raise MediaError(
                f"{path} is a scan: its pages are images without text, and {model} does not take "
                "PDF files.",
                hint="Use a model that takes PDF files, or send the recognised text: "
                "bb.functions.document.text(t.doc, ocr=True), which needs 'barbule[ocr]'.",
            )
        return {"type": "text", "text": "\n\n".join(block.text for block in document.blocks)}
    encoded = base64.b64encode(path.read_bytes()).decode()
    if api == "anthropic":
        source = {"type": "base64", "media_type": "application/pdf", "data": encoded}
        return {"type": "document", "source": source}
    file_part = {"filename": path.name, "file_data": f"data:application/pdf;base64,{encoded}"}
    return {"type": "file", "file": file_part}


def _sound_format(content: bytes, path: Path) -> str:
    if content.startswith(b"RIFF"):
        return "wav"
    if content.startswith((b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")):
        return "mp3"
    for start, name in ((b"fLaC", "flac"), (b"OggS", "ogg")):
        if content.startswith(start):
            return name
    return path.suffix.lower().removeprefix(".") or "wav"
