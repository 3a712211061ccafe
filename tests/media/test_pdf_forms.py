"""Filled PDF forms and annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import barbule as bb
from barbule.media.documents import read_document
from barbule.media.documents.pdf.pdf import page_image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FONT = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"


def make_form(path: Path, words: Sequence[tuple[str, int, int]], fields: Sequence[str]) -> Path:
    """Write a page of positioned words with annotations given as PDF dictionaries."""
    text = "".join(f"1 0 0 1 {x} {y} Tm ({word}) Tj " for word, x, y in words)
    content = f"BT /F1 12 Tf {text}ET"
    first = 6
    numbers = [f"{first + index} 0 R" for index in range(len(fields))]
    form = f"/Fields[{' '.join(numbers)}]/NeedAppearances true/DR<</Font<</Helv 5 0 R>>>>"
    page = f"/Resources<</Font<</F1 5 0 R>>>>/Annots[{' '.join(numbers)}]"
    objects = [
        f"<</Type/Catalog/Pages 2 0 R/AcroForm<<{form}/DA(/Helv 12 Tf 0 g)>>>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 800]/Contents 4 0 R{page}>>",
        f"<</Length {len(content)}>>stream\n{content}\nendstream",
        FONT,
        *(f"<</Type/Annot/Subtype/Widget/P 3 0 R{field}>>" for field in fields),
    ]
    body = "".join(f"{n} 0 obj{content}endobj\n" for n, content in enumerate(objects, start=1))
    path.write_text(f"%PDF-1.7\n{body}trailer<</Root 1 0 R>>\n%%EOF")
    return path


def entry(name: str, value: str, x: int, y: int, more: str = "", width: int = 150) -> str:
    value = value and f"/V({value})"
    return (
        f"/FT/Tx/T({name}){value}/Rect[{x} {y} {x + width} {y + 20}]/F 4/DA(/Helv 12 Tf 0 g){more}"
    )


def tick(name: str, state: str, x: int, y: int, *, on: bool) -> str:
    appearance = state if on else "Off"
    return (
        f"/FT/Btn/T({name})/V/{appearance}/AS/{appearance}/Rect[{x} {y} {x + 20} {y + 20}]/F 4"
        f"/AP<</N<</{state} 4 0 R/Off 4 0 R>>>>"
    )


def texts(path: Path) -> list[str]:
    return [block.text for block in read_document(path).blocks]


def test_field_values_follow_their_labels(tmp_path):
    path = make_form(
        tmp_path / "form.pdf",
        [("Name:", 20, 700), ("Town:", 20, 660), ("Street:", 220, 660), ("End", 20, 100)],
        [
            entry("town", "Paris", 70, 655),
            entry("name", "Ada Lovelace", 70, 695),
            entry("street", "Rue Cuvier", 270, 655),
            entry("empty", "", 70, 95),
        ],
    )
    assert texts(path) == ["Name: Ada Lovelace", "Town: Paris", "Street: Rue Cuvier", "End"]


def test_unlabelled_field_values_keep_their_position(tmp_path):
    path = make_form(
        tmp_path / "form.pdf",
        [("Above", 20, 700), ("Below", 20, 300)],
        [entry("letter", "Dear all\\nit is long", 20, 450), entry("top", "First", 20, 760)],
    )
    assert texts(path) == ["First", "Above", "Dear all", "it is long", "Below"]


def test_form_of_values_only_is_read(tmp_path):
    path = make_form(tmp_path / "form.pdf", [], [entry("n", "The whole letter.", 20, 700)])
    docs = bb.create_table("docs", {"doc": bb.Document})
    docs.insert(doc=str(path))
    assert docs.select(x=docs.doc.text()).collect()["x"] == ["The whole letter."]
    chunks = bb.create_view(
        "chunks", docs, iterator=bb.functions.DocumentSplitter.create(docs.doc, "paragraph")
    )
    (chunk,) = chunks.collect()
    assert chunk["text"] == "The whole letter."
    assert chunk["bounding_box"] == {"x1": 20.0, "y1": 700.0, "x2": 170.0, "y2": 720.0}


def test_check_boxes_and_choices_are_read(tmp_path):
    choice = entry("town", "P", 20, 500, "/Ff 131072/Opt[[(P)(Paris)][(L)(London)]]/I[0]")
    choice = choice.replace("/FT/Tx", "/FT/Ch")
    path = make_form(
        tmp_path / "form.pdf",
        [
            ("Agree:", 20, 700),
            ("Refuse:", 20, 660),
            ("I have read it", 60, 620),
            ("Pay by", 20, 580),
        ],
        [
            tick("agree", "Yes", 70, 695, on=True),
            tick("refuse", "Yes", 70, 655, on=False),
            tick("read", "On", 30, 615, on=True),
            tick("pay", "card", 70, 575, on=True),
            choice,
        ],
    )
    assert texts(path) == ["Agree: Yes", "Refuse:", "[x] I have read it", "Pay by card", "Paris"]


def test_hidden_and_password_fields_are_omitted(tmp_path):
    path = make_form(
        tmp_path / "form.pdf",
        [("Name:", 20, 700)],
        [
            entry("name", "Ada", 70, 695),
            entry("key", "secret", 70, 655, "/Ff 8192"),
            entry("track", "internal", 70, 615).replace("/F 4", "/F 2"),
        ],
    )
    document = read_document(path)
    assert [block.text for block in document.blocks] == ["Name: Ada"]
    assert set(document.left_out) == {"passwords", "hidden fields"}


def test_free_text_annotations_are_read_and_comments_are_not(tmp_path):
    path = make_form(tmp_path / "notes.pdf", [("Above", 20, 700)], [])
    source = path.read_text().replace("/Annots[]", "/Annots[6 0 R 7 0 R]")
    notes = (
        "6 0 obj<</Subtype/FreeText/Contents(Paid in cash)/Rect[20 600 200 620]>>endobj\n"
        "7 0 obj<</Subtype/Text/Contents(Why?)/Rect[20 500 40 520]>>endobj\n"
    )
    path.write_text(source.replace("trailer", notes + "trailer"))
    document = read_document(path)
    assert [block.text for block in document.blocks] == ["Above", "Paid in cash"]
    assert document.left_out == ("comments",)


def test_field_values_are_rendered_in_page_images(tmp_path):
    filled = make_form(tmp_path / "a.pdf", [], [entry("n", "MMMM", 20, 700)])
    blank = make_form(tmp_path / "b.pdf", [], [entry("n", "", 20, 700)])
    images = [page_image(path, 1, 72) for path in (filled, blank)]
    dark = [sum(image.convert("L").histogram()[:100]) for image in images]
    assert dark[0] > dark[1] + 20


@pytest.mark.parametrize(
    ("value", "text"), [("\\376\\377\\120\\123", "偓"), ("caf\\351", "café"), ("\\(a\\)", "(a)")]
)
def test_field_values_are_decoded(tmp_path, value, text):
    path = make_form(tmp_path / "form.pdf", [("Town:", 20, 700)], [entry("t", value, 70, 695)])
    assert texts(path) == [f"Town: {text}"]
