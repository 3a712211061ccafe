"""Detection of the encoding of a file, and decoding.

Owns the order of the evidence: a byte order mark, a declaration, UTF-8, and the guess of
`charset-normalizer`. An invalid byte becomes U+FFFD and affects no other. Must not know formats.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from itertools import islice
from typing import TYPE_CHECKING

from barbule.media.documents.text.encoding_labels import codec_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["decode_bytes", "is_text", "markup_of"]

# UTF-32's mark begins with that of UTF-16, so it is tested first.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
_UNICODE = {"utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_BYTES_PER_CONTROL = 100  # one invalid byte in this many
_UNPRINTABLE = {"Cc", "Cn", "Co", "Cs"}
_NON_ASCII = re.compile(rb"[\x80-\xff]+")
_ASCII = bytes(range(0x80))
_NO_LETTERS = bytes(code for code in range(256) if not (code < len(_ASCII) and chr(code).isalpha()))
_UTF8_SEQUENCE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_CUT_SEQUENCE = re.compile(rb"(?:[\xe0-\xef][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{1,2})\Z")
_JAPANESE_ESCAPES = (b"\x1b$B", b"\x1b$@")
# They are no part of a character in any of the encodings.
_SEPARATORS = (b"\n", b" ", b">", b'"', b",")
_CONTEXT_BYTES = 256
# This many runs of bytes above ASCII are enough evidence.
_MAX_RUNS = 100_000
_HEAD_BYTES = 4096
_SAMPLE_BYTES = 16_384
# Fewer characters are not evidence of an encoding, except among letters of another script.
_MIN_LATIN_SIGNS = 8
_MIN_OTHER_SIGNS = 4
_REPLACEMENT = "\ufffd"
# If at most one in this many characters is invalid in an encoding, the text has that encoding.
_TRUSTED_RATIO = 4
_RARE_RATIO = 50
_MULTIBYTE_CODECS = {"cp932", "euc_jp", "gb18030", "big5hkscs", "cp949"}
_LATIN_CODECS = ("cp1252", "cp1250", "cp1254", "cp1257", "iso8859_2")
_OTHER_CODECS = (
    "cp1251", "koi8_r", "koi8_u", "cp866", "iso8859_5", "iso8859_6", "cp1253", "cp1255", "cp1256",
    "cp874", "cp932", "euc_jp", "gb18030", "big5hkscs", "cp949",
)  # fmt: skip
# The letters of languages in addition to a-z, by the code page of their texts.
_ALPHABETS = {
    "cp1252": (
        "àâæçéèêëîïôœùûüÿ", "äöüß", "áéíñóúü", "àèéìíòóù", "àáâãçéêíóôõúü", "åäöéæøü", "áðéíóúýþæö",
        "éëïóöü",
    ),
    "cp1250": ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "čćđšž", "ăâîşţ"),
    "cp1254": ("çğıöşüâîû",),
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž"),
}  # fmt: skip
_ALPHABETS["iso8859_2"] = _ALPHABETS["cp1250"]


def decode_bytes(data: bytes, encoding: str | None = None, declared: bytes | None = None) -> str:
    r"""Decode text of unknown encoding.

    Parameters
    ----------
    data
        The bytes of a file.
    encoding
        An encoding given by the user: it overrides all evidence.
    declared
        The encoding that the file itself declares.

    Examples
    --------
    >>> decode_bytes("naïve".encode("cp1252")), decode_bytes("naïve été".encode() + b"\xff")
    ('naïve', 'naïve été\ufffd')
    """
    text = _decode(data, encoding, declared)
    # No database accepts it in a string.
    return text.replace("\0", _REPLACEMENT) if "\0" in text else text


def _decode(data: bytes, encoding: str | None, declared: bytes | None) -> str:
    for mark, codec in _BYTE_ORDER_MARKS:
        if data.startswith(mark) and (encoding is None or codec_of(encoding) in _UNICODE):
            return data.decode(codec, "replace").removeprefix("\ufeff")
    if encoding is not None:
        return _decode_with(data, codec_of(encoding) or encoding)
    if utf16 := _utf16_without_mark(data[:_HEAD_BYTES]):
        return data.decode(utf16, "replace")
    declared_codec = codec_of(declared.decode("ascii", "replace")) if declared else None
    if escaping_codec := _escaping_encoding(data, declared_codec):
        return data.decode(escaping_codec, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        if _is_mostly_utf8(data):
            return data.decode("utf-8", "replace")
    if (
        declared_codec
        and declared_codec not in _UNICODE
        and (text := _decode_if_plausible(data, declared_codec)) is not None
    ):
        return text
    return _decode_detected(data)


def is_text(head: bytes) -> bool:
    r"""Return whether the beginning of a file is text; a stray control character is allowed.

    Examples
    --------
    >>> is_text(b"one\x01 two"), is_text("羽\n".encode("utf-16-le")), is_text(b"\x1f\x8b\x08\0")
    (True, True, False)
    """
    if any(head.startswith(mark) for mark, _ in _BYTE_ORDER_MARKS):
        return True
    controls = sum(1 for _ in _CONTROL.finditer(head))
    return (
        controls <= max(1, len(head) // _BYTES_PER_CONTROL) or _utf16_without_mark(head) is not None
    )


def markup_of(head: bytes) -> str:
    """Return the beginning of a file for its markup: other letters may be wrong."""
    for mark, codec in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return head.decode(codec, "replace").removeprefix("\ufeff")
    return head.decode(_utf16_without_mark(head) or "latin-1", "replace")


def _utf16_without_mark(head: bytes) -> str | None:
    """Return the UTF-16 of text that has no byte order mark."""
    if b"\0" not in head:
        return None
    shares = {
        name: _ascii_share(head[: len(head) & ~1], name) for name in ("utf-16-le", "utf-16-be")
    }
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] > min(shares.values()) else None


def _ascii_share(head: bytes, name: str) -> float:
    """Return the fraction of ASCII in decoded bytes; 0 if the result is not text."""
    # A pair of surrogates may be cut at the end.
    text = head.decode(name, "replace").removesuffix(_REPLACEMENT)
    unprintable = sum(
        unicodedata.category(char) in _UNPRINTABLE for char in text if char not in "\t\n\r\f"
    )
    if not text or unprintable > len(text) // _BYTES_PER_CONTROL:
        return 0
    return sum(char.isascii() for char in text) / len(text)


def _escaping_encoding(data: bytes, declared_codec: str | None) -> str | None:
    """Return the encoding of seven-bit text with escape sequences: it is ASCII too."""
    if b"\x1b" not in data and declared_codec != "hz":
        return None
    if not data.isascii():
        return None
    if declared_codec in {"hz", "iso2022_kr", "iso2022_jp_ext"}:
        return declared_codec
    return "iso2022_jp_ext" if any(escape in data for escape in _JAPANESE_ESCAPES) else None


def _is_mostly_utf8(data: bytes) -> bool:
    """Return whether text is UTF-8 with some damaged bytes."""
    valid = damaged = end = 0
    for run in islice(_NON_ASCII.finditer(data), _MAX_RUNS):
        sequences = _UTF8_SEQUENCE.findall(run[0])
        valid += len(sequences)
        damaged += len(run[0]) - sum(map(len, sequences))
        end = run.end()
    if end == len(data) and (cut := _CUT_SEQUENCE.search(data, max(end - 3, 0))):
        damaged -= len(cut[0]) - 1  # the bytes of one character
    # Letters of single-byte encodings rarely look like this; pairs of Chinese, Thai or Korean
    # sometimes do.
    sparse = valid + damaged < _count_letters(data[:end])
    return valid >= (damaged if sparse else damaged * _TRUSTED_RATIO)


def _count_letters(data: bytes) -> int:
    return len(data.translate(None, _NO_LETTERS))


def _count_non_ascii(data: bytes) -> int:
    return len(data.translate(None, _ASCII))


def _decode_if_plausible(data: bytes, codec: str) -> str | None:
    """Decode with a declared codec; None if too much is invalid."""
    text = _decode_with(data, codec)
    replaced = text.count(_REPLACEMENT)
    if replaced and codec == "euc_jp":
        # Its vendor superset.
        text = min(
            text,
            data.decode("euc_jis_2004", "replace"),
            key=lambda candidate: candidate.count(_REPLACEMENT),
        )
        replaced = text.count(_REPLACEMENT)
    return text if replaced * _TRUSTED_RATIO <= _count_non_ascii(data) else None


def _decode_detected(data: bytes) -> str:
    sample = _sample(data)
    non_ascii = _count_non_ascii(sample)
    latin = _latin_encoding(sample)
    candidates = list(_OTHER_CODECS)
    is_latin = non_ascii <= _count_letters(sample)
    if non_ascii < (_MIN_LATIN_SIGNS if is_latin else _MIN_OTHER_SIGNS):
        return _decode_with(data, latin)
    if is_latin:
        candidates.extend(_LATIN_CODECS)
    codec = _guess(sample, candidates) or latin
    return _decode_with(data, latin if codec in _LATIN_CODECS else codec)


def _guess(sample: bytes, candidates: list[str]) -> str | None:
    """Return the most probable encoding, even if one byte is invalid in it."""
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=candidates).best()
    if best is not None and best.encoding in _MULTIBYTE_CODECS:
        return best.encoding
    # It searches for encodings that decode all bytes; a damaged pair is in one half.
    middle = sample.find(b"\n", len(sample) // 2) + 1
    for half in (sample[:middle], sample[middle:]) if 0 < middle < len(sample) else ():
        half_best = from_bytes(half, cp_isolation=candidates).best()
        if half_best is not None and half_best.encoding in _MULTIBYTE_CODECS:
            replaced = sample.decode(half_best.encoding, "replace").count(_REPLACEMENT)
            if 0 < replaced * _RARE_RATIO <= _count_non_ascii(sample):
                return half_best.encoding
    return best.encoding if best is not None else None


def _decode_with(data: bytes, codec: str) -> str:
    # Five bytes are undefined in Windows-1252; browsers read them as control characters.
    return data.decode(codec, _CONTROLS_HANDLER if codec == "cp1252" else "replace")


def _decode_as_controls(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


_CONTROLS_HANDLER = "barbule.controls"
codecs.register_error(_CONTROLS_HANDLER, _decode_as_controls)


def _sample(data: bytes) -> bytes:
    """Return the lines that are not ASCII, as many as a guess needs."""
    parts: list[bytes] = []
    size = start = 0
    while size < _SAMPLE_BYTES and (run := _NON_ASCII.search(data, start)):
        search_start = max(start, run.start() - _CONTEXT_BYTES)
        first = _end_of_last_separator(data, search_start, run.start())
        first = first or (search_start if search_start == start else run.start())
        limit = min(len(data), first + _SAMPLE_BYTES)
        end = data.find(b"\n", run.end(), limit) + 1
        if not end:
            end = limit if limit == len(data) else _end_of_last_separator(data, run.end(), limit)
        end = end or run.start() + ((limit - run.start()) & ~1)  # most characters have two bytes
        parts.append(data[first:end])
        size += len(parts[-1])
        start = end
    return b"".join(parts)


def _end_of_last_separator(data: bytes, first: int, last: int) -> int:
    """Return the end of the last separator, which is never part of a character; else 0."""
    return max(data.rfind(separator, first, last) for separator in _SEPARATORS) + 1


def _latin_encoding(sample: bytes) -> str:
    """Return the code page in which most Latin letters belong to one language.

    The candidates differ in few letters: `charset-normalizer` confuses French with Romanian.
    """
    scores = {
        name: _alphabet_score(sample.decode(name, "replace"), _ALPHABETS[name])
        for name in _ALPHABETS
    }
    return max(scores, key=lambda name: scores[name])


def _alphabet_score(text: str, alphabets: Sequence[str]) -> int:
    letters = [char for char in text.lower() if not char.isascii()]
    # Symbols within a word are not evidence, as in "Å›wiat" for "świat".
    return max(
        sum((char in alphabet) or -1 for char in letters if char.isalpha())
        for alphabet in alphabets
    )
