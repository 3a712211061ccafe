"""Text in pictures of pages, recognised on this machine.

Owns the one recogniser of a process, which is loaded on first use and comes with the extra
`ocr`. Must not read files.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from barbule.errors import UnsupportedError
from barbule.media.images.conversion import rgb

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["check_ocr", "recognise"]

_ONE = threading.Lock()
_SURE = 0.5
_SAME_LINE = 0.5


def check_ocr() -> None:
    """Make sure that text can be recognised.

    Raises
    ------
    UnsupportedError
        Where the packages of the extra are missing.
    """
    import importlib.util

    if importlib.util.find_spec("rapidocr_onnxruntime") is None:
        raise _missing()


def recognise(image: Image) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Find the lines of text in a picture, from top to bottom.

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
        Where the packages of the extra are missing.
    """
    import numpy as np

    with _ONE:
        # It takes the colours in the order of OpenCV.
        found, _ = _recogniser()(np.asarray(rgb(image))[:, :, ::-1])
    boxes = []
    for corners, text, score in found or ():
        if float(score) >= _SURE and text.strip():
            across, down = zip(*corners, strict=True)
            boxes.append((text.strip(), (min(across), min(down), max(across), max(down))))
    return _lines(sorted(boxes, key=lambda each: (each[1][1] + each[1][3], each[1][0])))


_Found = tuple[str, tuple[float, float, float, float]]


def _lines(boxes: list[_Found]) -> list[_Found]:
    """Join what stands beside each other."""
    lines: list[list[_Found]] = []
    for box in boxes:
        top, bottom = box[1][1], box[1][3]
        if lines:
            _, (_, above, _, below) = lines[-1][0]
            shared = min(bottom, below) - max(top, above)
            if shared > _SAME_LINE * min(bottom - top, below - above):
                lines[-1].append(box)
                continue
        lines.append([box])
    joined = []
    for line in lines:
        line.sort(key=lambda each: each[1][0])
        edges = list(zip(*(box for _, box in line), strict=True))
        around = (min(edges[0]), min(edges[1]), max(edges[2]), max(edges[3]))
        joined.append((" ".join(text for text, _ in line), around))
    return joined


@lru_cache(maxsize=1)
def _recogniser() -> Any:
    try:
        from rapidocr_onnxruntime import RapidOCR
    except ImportError as error:
        raise _missing() from error
    return RapidOCR()


def _missing() -> UnsupportedError:
    return UnsupportedError(
        "text in scanned pages is recognised by the package rapidocr-onnxruntime.",
        hint="pip install 'barbule[ocr]', or leave ocr=True out.",
    )
