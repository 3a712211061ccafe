"""Default names of scores: short, and different for each query."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

import barbule as bb


@pytest.fixture
def table(session):
    @bb.udf
    def of_text(text: str) -> bb.Vector(3):
        return [len(text), text.count("a"), 1]

    @bb.udf
    def of_image(image: bb.Image) -> bb.Vector(3):
        return image.resize((1, 1)).convert("RGB").getpixel((0, 0))

    table = bb.create_table("things", {"text": bb.String, "img": bb.Image, "place": bb.Vector(3)})
    red = PIL.Image.new("RGB", (64, 64), "red")
    table.insert([{"text": "a cat", "img": red, "place": [1, 2, 3]}])
    table.add_embedding_index("text", string_embed=of_text)
    table.add_embedding_index("img", image_embed=of_image, string_embed=of_text)
    table.add_embedding_index("place")
    return table


def noise(seed: int) -> PIL.Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


QUERIES = {
    "images": lambda t: [t.img.similarity(noise(1)), t.img.similarity(noise(2))],
    "bytes": lambda t: [t.img.similarity(noise(n)._repr_png_()) for n in (1, 2)],
    "vectors": lambda t: [t.place.similarity([1, 2, 3]), t.place.similarity([1, 2, 4])],
    "texts": lambda t: [t.text.similarity("a"), t.text.similarity("b")],
    "long texts": lambda t: [t.text.similarity("a" * 999), t.text.similarity("a" * 998)],
    "keywords": lambda t: [t.text.search("cat"), t.text.search("dog")],
    "hybrid": lambda t: [t.text.search(word, mode="hybrid") for word in ("cat", "dog")],
    "kinds": lambda t: [t.img.similarity(noise(1)), t.text.similarity("a"), t.img.similarity("a")],
    "expressions": lambda t: [-t.img.similarity(noise(1)), t.img.similarity(noise(1)).round(2)],
}


@pytest.mark.parametrize("queries", QUERIES.values(), ids=QUERIES)
def test_unnamed_scores_get_short_distinct_names(table, queries):
    scores = queries(table)
    found = table.select(table.text, *scores).collect()
    (row,) = found
    assert len(row) == 1 + len(scores)
    assert max(map(len, row)) < 150
    again = table.select(table.text, *queries(table)).collect()
    assert list(again[0]) == list(row)


def test_score_name_contains_short_query_text(table):
    score = table.text.similarity("a cat")
    assert score.get_name() == "Similarity(text, 'a cat')"
    assert table.img.similarity(noise(1)).get_name().startswith("Similarity(img, image/png ")
