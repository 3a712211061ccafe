"""From bytes to text: how a file is encoded.

Owns the order in which that is told: a byte order mark, what the file declares, UTF-8, and what
`charset-normalizer` finds. A byte that means nothing becomes U+FFFD and spoils no other. Must
not know formats.
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

__all__ = ["decoded", "is_text", "markup_of"]

# UTF-32's mark begins with that of UTF-16, so it is asked first.
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
_UNICODE = {"utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_CONTROL_SHARE = 100  # one in so many bytes
_UNPRINTABLE = {"Cc", "Cn", "Co", "Cs"}
_HIGH = re.compile(rb"[\x80-\xff]+")
_ASCII = bytes(range(0x80))
_NO_LETTERS = bytes(code for code in range(256) if not (code < len(_ASCII) and chr(code).isalpha()))
_SEQUENCE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_CUT = re.compile(rb"(?:[\xe0-\xef][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{1,2})\Z")
_SHIFTED = (b"\x1b$B", b"\x1b$@")
# They are no part of a character in any of the encodings.
_SIGNS = (b"\n", b" ", b">", b'"', b",")
_NEAR = 256
# So many runs of bytes above ASCII tell enough.
_RUNS = 100_000
_HEAD = 4096
_SAMPLE = 16_384
# So few signs tell nothing of an encoding, but where they stand among other letters.
_FEW = 8
_FEWEST = 4
_REPLACED = "\ufffd"
# Where at most one in so many signs is none of an encoding, it is that encoding.
_TRUSTED = 4
_RARE = 50
_WIDE = {"cp932", "euc_jp", "gb18030", "big5hkscs", "cp949"}
_LATIN = ("cp1252", "cp1250", "cp1254", "cp1257", "iso8859_2")
_OTHERS = (
    "cp1251", "koi8_r", "koi8_u", "cp866", "iso8859_5", "iso8859_6", "cp1253", "cp1255", "cp1256",
    "cp874", "cp932", "euc_jp", "gb18030", "big5hkscs", "cp949",
)  # fmt: skip
# The letters beside a-z of languages, by the code page in which their texts are written.
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


def decoded(data: bytes, encoding: str | None = None, declared: bytes | None = None) -> str:
    r"""Decode text of unknown encoding.

    Parameters
    ----------
    data
        The bytes of a file.
    encoding
        The encoding that a user names: nothing else is asked.
    declared
        What the file itself says.

    Examples
    --------
    >>> decoded("naïve".encode("cp1252")), decoded("naïve été".encode() + b"\xff")
    ('naïve', 'naïve été\ufffd')
    """
    text = _decoded(data, encoding, declared)
    # No database takes it as text.
    return text.replace("\0", _REPLACED) if "\0" in text else text


def _decoded(data: bytes, encoding: str | None, declared: bytes | None) -> str:
    for mark, marked in _BOMS:
        if data.startswith(mark) and (encoding is None or codec_of(encoding) in _UNICODE):
            return data.decode(marked, "replace").removeprefix("\ufeff")
    if encoding is not None:
        return _read_by(data, codec_of(encoding) or encoding)
    if wide := _wide_encoding(data[:_HEAD]):
        return data.decode(wide, "replace")
    named = codec_of(declared.decode("ascii", "replace")) if declared else None
    if shifted := _shifted_encoding(data, named):
        return data.decode(shifted, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        if _is_mostly_utf8(data):
            return data.decode("utf-8", "replace")
    if named and named not in _UNICODE and (text := _read_as(data, named)) is not None:
        return text
    return _detected(data)


def is_text(head: bytes) -> bool:
    r"""Tell whether the beginning of a file is text; a stray control character makes it no other.

    Examples
    --------
    >>> is_text(b"one\x01 two"), is_text("羽\n".encode("utf-16-le")), is_text(b"\x1f\x8b\x08\0")
    (True, True, False)
    """
    if any(head.startswith(mark) for mark, _ in _BOMS):
        return True
    controls = sum(1 for _ in _CONTROL.finditer(head))
    return controls <= max(1, len(head) // _CONTROL_SHARE) or _wide_encoding(head) is not None


def markup_of(head: bytes) -> str:
    """Return the beginning of a file as far as its markup goes: other letters may be wrong."""
    for mark, marked in _BOMS:
        if head.startswith(mark):
            return head.decode(marked, "replace").removeprefix("\ufeff")
    return head.decode(_wide_encoding(head) or "latin-1", "replace")


def _wide_encoding(head: bytes) -> str | None:
    """Return the UTF-16 of text that has no byte order mark."""
    if b"\0" not in head:
        return None
    shares = {
        name: _plain_share(head[: len(head) & ~1], name) for name in ("utf-16-le", "utf-16-be")
    }
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] > min(shares.values()) else None


def _plain_share(head: bytes, name: str) -> float:
    """Return the share of ASCII in what an encoding makes of bytes; 0 where that is no text."""
    # A pair of surrogates may be cut at the end.
    text = head.decode(name, "replace").removesuffix(_REPLACED)
    strange = sum(
        unicodedata.category(char) in _UNPRINTABLE for char in text if char not in "\t\n\r\f"
    )
    if not text or strange > len(text) // _CONTROL_SHARE:
        return 0
    return sum(char.isascii() for char in text) / len(text)


def _shifted_encoding(data: bytes, named: str | None) -> str | None:
    """Return the encoding of text that has seven bits and escapes to others: it is ASCII too."""
    if b"\x1b" not in data and named != "hz":
        return None
    if not data.isascii():
        return None
    if named in {"hz", "iso2022_kr", "iso2022_jp_ext"}:
        return named
    return "iso2022_jp_ext" if any(escape in data for escape in _SHIFTED) else None


def _is_mostly_utf8(data: bytes) -> bool:
    """Tell whether text is UTF-8 in which some bytes are damaged."""
    whole = damaged = end = 0
    for run in islice(_HIGH.finditer(data), _RUNS):
        sequences = _SEQUENCE.findall(run[0])
        whole += len(sequences)
        damaged += len(run[0]) - sum(map(len, sequences))
        end = run.end()
    if end == len(data) and (cut := _CUT.search(data, max(end - 3, 0))):
        damaged -= len(cut[0]) - 1  # the bytes of one character
    # Letters of single bytes rarely look so; pairs of Chinese, Thai or Korean now and then do.
    sparse = whole + damaged < _count_letters(data[:end])
    return whole >= (damaged if sparse else damaged * _TRUSTED)


def _count_letters(data: bytes) -> int:
    return len(data.translate(None, _NO_LETTERS))


def _count_high(data: bytes) -> int:
    return len(data.translate(None, _ASCII))


def _read_as(data: bytes, codec: str) -> str | None:
    """Decode by a codec that is declared; None where too much is none of its."""
    text = _read_by(data, codec)
    missed = text.count(_REPLACED)
    if missed and codec == "euc_jp":
        # Its superset, as vendors have it.
        text = min(
            text, data.decode("euc_jis_2004", "replace"), key=lambda each: each.count(_REPLACED)
        )
        missed = text.count(_REPLACED)
    return text if missed * _TRUSTED <= _count_high(data) else None


def _detected(data: bytes) -> str:
    sample = _sample(data)
    high = _count_high(sample)
    latin = _latin_encoding(sample)
    candidates = list(_OTHERS)
    is_latin = high <= _count_letters(sample)
    if high < (_FEW if is_latin else _FEWEST):
        return _read_by(data, latin)
    if is_latin:
        candidates.extend(_LATIN)
    codec = _guess(sample, candidates) or latin
    return _read_by(data, latin if codec in _LATIN else codec)


def _guess(sample: bytes, candidates: list[str]) -> str | None:
    """Return the most probable of encodings, be there a byte that is none of it."""
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=candidates).best()
    if best is not None and best.encoding in _WIDE:
        return best.encoding
    # It looks for what decodes all of the bytes; a pair that is damaged stands in one half.
    middle = sample.find(b"\n", len(sample) // 2) + 1
    for half in (sample[:middle], sample[middle:]) if 0 < middle < len(sample) else ():
        found = from_bytes(half, cp_isolation=candidates).best()
        if found is not None and found.encoding in _WIDE:
            missed = sample.decode(found.encoding, "replace").count(_REPLACED)
            if 0 < missed * _RARE <= _count_high(sample):
                return found.encoding
    return best.encoding if best is not None else None


def _read_by(data: bytes, codec: str) -> str:
    # Five bytes of Windows' Western letters are none; browsers read control characters.
    return data.decode(codec, _AS_CONTROLS if codec == "cp1252" else "replace")


def _as_controls(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


_AS_CONTROLS = "barbule.controls"
codecs.register_error(_AS_CONTROLS, _as_controls)


def _sample(data: bytes) -> bytes:
    """Return the lines that are not ASCII, as far as a guess needs them."""
    parts: list[bytes] = []
    size = start = 0
    while size < _SAMPLE and (high := _HIGH.search(data, start)):
        near = max(start, high.start() - _NEAR)
        first = _behind_sign(data, near, high.start())
        first = first or (near if near == start else high.start())
        far = min(len(data), first + _SAMPLE)
        end = data.find(b"\n", high.end(), far) + 1
        if not end:
            end = far if far == len(data) else _behind_sign(data, high.end(), far)
        end = end or high.start() + ((far - high.start()) & ~1)  # most characters have two bytes
        parts.append(data[first:end])
        size += len(parts[-1])
        start = end
    return b"".join(parts)


def _behind_sign(data: bytes, first: int, last: int) -> int:
    """Return the last place at which no encoding has a character begun; 0 where none is told."""
    return max(data.rfind(sign, first, last) for sign in _SIGNS) + 1


def _latin_encoding(sample: bytes) -> str:
    """Return the code page of Latin letters in which most of them are those of one language.

    What differs between these is a letter here and there: `charset-normalizer` takes French
    for Romanian.
    """
    scores = {name: _fit(sample.decode(name, "replace"), _ALPHABETS[name]) for name in _ALPHABETS}
    return max(scores, key=lambda name: scores[name])


def _fit(text: str, alphabets: Sequence[str]) -> int:
    letters = [char for char in text.lower() if not char.isascii()]
    # Signs in a word are none, as in "Å›wiat" for "świat".
    return max(
        sum((char in alphabet) or -1 for char in letters if char.isalpha())
        for alphabet in alphabets
    )
