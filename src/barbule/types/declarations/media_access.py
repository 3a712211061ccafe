"""The methods of a media library that conversions call, so that they do not import it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import ibis.expr.datatypes as dt
    import PIL.Image

__all__ = ["MediaAccess"]


class MediaAccess(Protocol):
    """Access to media by reference, as `barbule.media.library.MediaLibrary` provides it."""

    zone: str
    """The time zone of timestamps without a zone."""

    def refer(self, value: object, kind: dt.DataType, *, computed: bool = False) -> str:
        """Return the reference of a file, of bytes or of an image."""

    def path(self, reference: str) -> Path:
        """Return a local file with the content of a reference."""

    def image(self, reference: str) -> PIL.Image.Image:
        """Open an image."""
