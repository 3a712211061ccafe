"""Text drawn over frames.

Owns the position of a text and how it is blended; Pillow draws the letters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from av.video.frame import VideoFrame
    from PIL.Image import Image

__all__ = ["TextOverlay", "border_widths"]

_SIDES = {"horizontal": ("left", "center", "right"), "vertical": ("top", "center", "bottom")}


def border_widths(widths: Sequence[int] | None) -> tuple[int, int, int, int]:
    """Return pixels for top, right, bottom and left of one to four numbers, as in CSS.

    Examples
    --------
    >>> border_widths([10, 20])
    (10, 20, 10, 20)
    """
    sides = [0] if widths is None else list(widths)
    if not 1 <= len(sides) <= 4:  # noqa: PLR2004 - a box has four sides
        raise ConfigurationError("box_border must be one to four numbers of pixels.", value=sides)
    top = sides[0]
    right = sides[1] if len(sides) > 1 else top
    bottom = sides[2] if len(sides) > 2 else top  # noqa: PLR2004
    return top, right, bottom, sides[3] if len(sides) > 3 else right  # noqa: PLR2004


@dataclass
class TextOverlay:
    """A text and how it is drawn over frames.

    Attributes
    ----------
    font
        A font file that Pillow opens; None for the one that comes with Pillow.
    size
        The height of the letters in pixels.
    color, box_color
        Anything that Pillow takes for a colour.
    opacity, box_opacity
        From 0 (invisible) to 1.
    align
        Horizontal and vertical alignment.
    margin
        Pixels from the edges of those sides.
    border
        Pixels around the text in its box: top, right, bottom, left.
    """

    text: str
    font: str | None = None
    size: int = 24
    color: str = "white"
    opacity: float = 1.0
    align: tuple[str, str] = ("center", "center")
    margin: tuple[int, int] = (0, 0)
    box: bool = False
    box_color: str = "black"
    box_opacity: float = 1.0
    border: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        from PIL import ImageColor

        if self.size <= 0:
            raise ConfigurationError(
                "font_size must be a number of pixels above 0.", value=self.size
            )
        for name in ("opacity", "box_opacity"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"{name} must be from 0 to 1.", value=getattr(self, name))
        for (side, allowed), alignment in zip(_SIDES.items(), self.align, strict=True):
            if alignment not in allowed:
                raise ConfigurationError(
                    f"{side}_align must be one of {', '.join(allowed)}.", value=alignment
                )
        if min(*self.margin, *self.border) < 0:
            raise ConfigurationError("margins and borders must be 0 pixels or more.")
        for name in ("color", "box_color"):
            try:
                ImageColor.getrgb(getattr(self, name))
            except ValueError as error:
                raise ConfigurationError(
                    f"{name} is not a valid colour: {error}.",
                    hint="'white' or '#ff8800', for example.",
                ) from None
        self._cached_overlay: Any = None

    def draw_on(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame with the text on it."""
        import numpy as np
        from av import VideoFrame as Frame

        pixels = frame.to_ndarray(format="rgb24")
        left, top, ink, cover = self._overlay(frame.width, frame.height)
        height, width = cover.shape[:2]
        part = pixels[top : top + height, left : left + width]
        part[:] = (part * (1 - cover) + ink * cover + 0.5).astype(np.uint8)
        return Frame.from_ndarray(pixels, format="rgb24")

    def _overlay(self, width: int, height: int) -> tuple[int, int, np.ndarray, np.ndarray]:
        """Return left, top, colours and opacity of the overlay for frames of a size."""
        import numpy as np

        if self._cached_overlay is None or self._cached_overlay[0] != (width, height):
            text_image = self._draw(width)
            free = width - text_image.width, height - text_image.height
            left, top = (
                self._offset(space, side, edge)
                for space, side, edge in zip(free, self.align, self.margin, strict=True)
            )
            box = (max(0, -left), max(0, -top))
            visible = text_image.crop(
                (*box, min(text_image.width, width - left), min(text_image.height, height - top))
            )
            layer = np.asarray(visible, dtype=np.float32)
            overlay = (max(0, left), max(0, top), layer[..., :3], layer[..., 3:] / 255)
            self._cached_overlay = (width, height), overlay
        return self._cached_overlay[1]

    @staticmethod
    def _offset(free: int, side: str, edge: int) -> int:
        if side in {"left", "top"}:
            return edge
        return free - edge if side in {"right", "bottom"} else free // 2

    def _draw(self, width: int) -> Image:
        """Draw the text with its box; long lines are not broken."""
        import PIL.Image
        from PIL import ImageColor, ImageDraw, ImageFont

        try:
            font: Any = (
                ImageFont.truetype(self.font, self.size)
                if self.font
                else ImageFont.load_default(self.size)
            )
        except OSError as error:
            raise ConfigurationError(
                f"the font {self.font!r} cannot be opened: {error}.",
                hint="Pass the path of a font file, or remove font.",
            ) from None
        measure = ImageDraw.Draw(PIL.Image.new("L", (1, 1)))
        x0, y0, x1, y1 = measure.multiline_textbbox((0, 0), self.text, font=font)
        top, right, bottom, left = self.border
        size = int(x1 - x0) + left + right + 1, int(y1 - y0) + top + bottom + 1
        color = ImageColor.getrgb(self.color)[:3]
        box_color = ImageColor.getrgb(self.box_color)[:3]
        box_alpha = round(255 * self.box_opacity) if self.box else 0
        layer = PIL.Image.new("RGBA", size, (*(box_color if self.box else color), box_alpha))
        ink = PIL.Image.new("RGBA", size, (*color, 0))
        ImageDraw.Draw(ink).multiline_text(
            (left - x0, top - y0), self.text, font=font, fill=(*color, round(255 * self.opacity))
        )
        layer.alpha_composite(ink)
        return layer
