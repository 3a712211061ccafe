"""XHTML pages, converted to HTML, so that there is a single reader of pages.

In XML any element may be closed where it starts, as `<title/>`: an HTML parser would read the rest
of the page as the text of the title. Owns the conversion. Must not know which elements are text.
"""

from __future__ import annotations

import re
from html import escape
from html.entities import html5
from typing import TYPE_CHECKING

from barbule.media.documents.blocks import DamagedTreeError
from barbule.media.documents.text.xml_text import parse_xml

if TYPE_CHECKING:
    from xml.parsers import expat

__all__ = ["as_html", "is_xhtml"]

_HEAD_CHARACTERS = 4096
_DECLARATION = re.compile(r"\s*<\?xml\b|[^<]*(?:<[!?][^<>]*>[^<]*)*<html\b[^<>]*\sxmlns\s*=")
_SELF_CLOSED_TAG = re.compile(r"<([A-Za-z][\w:.-]*)(\s[^<>]*)?/>")
_VOID_TAGS = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
}  # fmt: skip
# HTML treats the content of these as text that it does not parse.
_RAW_TEXT_TAGS = {"script", "style"}
_TAG_SUBSTITUTES = {
    "iframe": "object",
    "noembed": "div",
    "noframes": "div",
    "plaintext": "pre",
    "xmp": "pre",
}


def is_xhtml(source: str) -> bool:
    """Return whether a page declares that it is XML.

    Examples
    --------
    >>> is_xhtml("<?xml version='1.0'?><html/>"), is_xhtml("<!doctype html><html><p>")
    (True, False)
    """
    return _DECLARATION.match(source[:_HEAD_CHARACTERS]) is not None


def as_html(source: str) -> str:
    r"""Write XHTML as HTML; in invalid XML, closed elements are opened.

    Examples
    --------
    >>> as_html("<html><title/><p>A<br/>&nbsp;<![CDATA[<b>]]></p></html>")
    '<html><title></title><p>A<br>\xa0&lt;b&gt;</p></html>'
    >>> as_html("<title/><p>A")
    '<title></title><p>A'
    """
    writer = _HtmlWriter()
    try:
        parse_xml(source.encode(), writer)
    except DamagedTreeError:
        return _SELF_CLOSED_TAG.sub(_open_tag, source)
    return "".join(writer.parts)


def _open_tag(match: re.Match[str]) -> str:
    name, attributes = match[1], match[2] or ""
    return (
        f"<{name}{attributes}>" if name.lower() in _VOID_TAGS else f"<{name}{attributes}></{name}>"
    )


class _HtmlWriter:
    encoding = "utf-8"  # regardless of the page's declaration: it is already decoded

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._raw_text_depth = 0

    def attach(self, parser: expat.XMLParserType) -> None:
        # The names of HTML's character entities are known, although no DTD is read.
        parser.UseForeignDTD(True)
        parser.SkippedEntityHandler = self._entity
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _html_name(tag)
        self._raw_text_depth += name in _RAW_TEXT_TAGS
        if "xml:lang" in attributes:
            attributes.setdefault("lang", attributes["xml:lang"])
        written = "".join(
            f' {attribute}="{escape(value)}"' for attribute, value in attributes.items()
        )
        self.parts.append(f"<{name}{written}>")

    def _end(self, tag: str) -> None:
        name = _html_name(tag)
        self._raw_text_depth -= name in _RAW_TEXT_TAGS
        if name not in _VOID_TAGS:
            self.parts.append(f"</{name}>")

    def _characters(self, text: str) -> None:
        if not self._raw_text_depth:
            self.parts.append(escape(text, quote=False))

    def _entity(self, name: str, is_parameter: bool) -> None:
        if not is_parameter:
            self._characters(html5.get(f"{name};", f"&{name};"))


def _html_name(tag: str) -> str:
    name = tag.rsplit(":", 1)[-1]
    return _TAG_SUBSTITUTES.get(name, name)
