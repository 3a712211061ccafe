"""Common parts of Office files: their properties, and parts that others refer to.

Must not know what a part holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docx.document import Document
    from docx.opc.part import Part
    from lxml.etree import _Element as Element
    from pptx.presentation import Presentation

__all__ = ["RELATED", "parts_of_kind", "properties", "related_tree"]

_PROPERTIES = ("author", "subject", "keywords", "category", "comments", "language", "created")
RELATED = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


def properties(document: Document | Presentation) -> dict[str, Any]:
    """Return the metadata of an Office file, without missing entries."""
    metadata = {}
    for name in _PROPERTIES:
        value = getattr(document.core_properties, name, None)
        if value:
            metadata[name] = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return metadata


def related_tree(part: Part, identifier: str | None) -> Element | None:
    """Return the root element of the part that a relationship names; None if there is none."""
    relationship = part.rels.get(identifier) if identifier else None
    if relationship is None or relationship.is_external:
        return None
    return _root_element(relationship.target_part)


def parts_of_kind(part: Part, kind: str) -> list[Element]:
    """Return the root elements of the parts of a type, such as "footnotes"."""
    return [
        _root_element(relationship.target_part)
        for relationship in part.rels.values()
        if not relationship.is_external and relationship.reltype.rsplit("/", 1)[-1] == kind
    ]


def _root_element(part: Part) -> Element:
    from docx.oxml import parse_xml

    # Parts that the libraries know are already parsed. The parser expands no entities.
    element = getattr(part, "element", getattr(part, "_element", None))
    return parse_xml(part.blob) if element is None else element
