"""OCR of scanned pages with the recognition package; `nox -s ocr` installs it."""

from __future__ import annotations

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

import barbule as bb
from barbule.functions import DocumentSplitter

pytest.importorskip(
    "rapidocr_onnxruntime", reason="rapidocr-onnxruntime is not installed: nox -s ocr"
)


@pytest.fixture
def scan(tmp_path):
    """Draw two lines of text and save them as a page image."""
    page = PIL.Image.new("RGB", (1240, 800), "white")
    draw = PIL.ImageDraw.Draw(page)
    font = PIL.ImageFont.load_default(size=48)
    draw.text((100, 100), "Barbules hook into each other", fill="black", font=font)
    draw.text((100, 600), "Down has no hooks", fill="black", font=font)
    path = tmp_path / "scan.pdf"
    page.save(path, resolution=150)
    return path


def test_scanned_page_is_read_with_ocr(session, scan):
    docs = bb.create_table("docs", {"doc": bb.Document})
    docs.insert(doc=scan)
    text = docs.select(t=docs.doc.text(ocr=True)).collect()[0, "t"]
    assert "hook into each other" in text
    assert "Downhasnohooks" in text.replace(" ", "")  # spaces are not always recognised
    chunks = bb.create_view(
        "chunks",
        docs,
        iterator=DocumentSplitter.create(docs.doc, "char_limit", limit=30, ocr=True),
    )
    rows = chunks.order_by("pos").collect()
    assert set(rows["page"]) == {1}
    boxes = rows["bounding_box"]
    assert boxes[0]["y1"] > boxes[-1]["y1"]  # measured from the lower left corner of the page
