"""Text recognition in images of pages, on this machine.

Owns the single recogniser of a process, which is loaded on first use and comes with the extra
`ocr`. Must not read files.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from barbule.errors import UnsupportedError
from barbule.media.images.conversion import rgb

if TYPE_CHECKING:
    from PIL.Image import Image
    from rapidocr_onnxruntime import RapidOCR

__all__ = ["check_ocr", "recognise"]

_RECOGNISER_LOCK = threading.Lock()
_MIN_SCORE = 0.5
_MIN_LINE_OVERLAP = 0.5


def check_ocr() -> None:
    """Check that text recognition is available.

    Raises
    ------
    UnsupportedError
        If the packages of the extra are missing.
    """
    import importlib.util

    if importlib.util.find_spec("rapidocr_onnxruntime") is None:
        raise _missing()


def recognise(image: Image) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Find the lines of text in an image, from top to bottom.

    Parameters
    ----------
    image
        A page.

    Returns
    -------
    list of tuple
        The text of each line, and its left, upper, right and lower edge in pixels.

    Raises
    ------
    UnsupportedError
        If the packages of the extra are missing.
    """
    import numpy as np

    with _RECOGNISER_LOCK:
        # It takes the colours in OpenCV's order.
        detections, _ = _recogniser()(np.asarray(rgb(image))[:, :, ::-1])
    text_boxes = []
    for corners, text, score in detections or ():
        if float(score) >= _MIN_SCORE and text.strip():
            across, down = zip(*corners, strict=True)
            text_boxes.append((text.strip(), (min(across), min(down), max(across), max(down))))
    return _join_lines(
        sorted(text_boxes, key=lambda text_box: (text_box[1][1] + text_box[1][3], text_box[1][0]))
    )


_TextBox = tuple[str, tuple[float, float, float, float]]


def _join_lines(text_boxes: list[_TextBox]) -> list[_TextBox]:
    """Join the boxes of each line."""
    lines: list[list[_TextBox]] = []
    for text_box in text_boxes:
        top, bottom = text_box[1][1], text_box[1][3]
        if lines:
            _, (_, line_top, _, line_bottom) = lines[-1][0]
            overlap = min(bottom, line_bottom) - max(top, line_top)
            if overlap > _MIN_LINE_OVERLAP * min(bottom - top, line_bottom - line_top):
                lines[-1].append(text_box)
                continue
        lines.append([text_box])
    joined = []
    for line in lines:
        line.sort(key=lambda text_box: text_box[1][0])
        edges = list(zip(*(text_box for _, text_box in line), strict=True))
        bounds = (min(edges[0]), min(edges[1]), max(edges[2]), max(edges[3]))
        joined.append((" ".join(text for text, _ in line), bounds))
    return joined


@lru_cache(maxsize=1)
def _recogniser() -> RapidOCR:
    try:
        from rapidocr_onnxruntime import RapidOCR
    except ImportError as error:
        raise _missing() from error
    return RapidOCR()


def _missing() -> UnsupportedError:
    return UnsupportedError(
        "text recognition in scanned pages needs the package rapidocr-onnxruntime.",
        hint="pip install 'barbule[ocr]', or remove ocr=True.",
    )
