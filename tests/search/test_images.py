"""Images are searched by images: PIL images, paths, bytes and other columns."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import barbule as bb

COLOURS = {"red": (220, 20, 30), "green": (20, 200, 40), "blue": (10, 30, 230), "grey": (9, 9, 9)}


def picture(name: str, size: int = 8) -> Image.Image:
    return Image.new("RGB", (size, size), COLOURS[name])


@pytest.fixture
def images(session):
    @bb.udf(batch_size=4)
    def colour(images: list[bb.Image]) -> list[bb.Vector(3)]:
        return [np.asarray(image.convert("RGB"), "float32").mean(axis=(0, 1)) for image in images]

    table = bb.create_table("pictures", {"name": bb.String, "img": bb.Image})
    table.insert([{"name": name, "img": picture(name)} for name in COLOURS])
    table.add_embedding_index("img", image_embed=colour)
    return table


def best(images, query):
    sim = images.img.similarity(query)
    return images.order_by(sim, asc=False).limit(1).collect()[0, "name"]


def test_image_query_finds_similar_image(images):
    assert best(images, Image.new("RGB", (3, 5), (200, 40, 40))) == "red"


def test_path_and_bytes_are_image_queries(images, tmp_path):
    picture("blue").save(tmp_path / "query.png")
    buffer = io.BytesIO()
    picture("green").save(buffer, format="PNG")

    assert best(images, str(tmp_path / "query.png")) == "blue"
    assert best(images, buffer.getvalue()) == "green"


def test_similarity_to_image_column_is_computed_per_row(images):
    scores = images.select(s=images.img.similarity(images.img)).collect()["s"]
    assert scores == pytest.approx([1.0] * 4)


def test_inserted_image_is_found(images):
    images.insert(name="orange", img=Image.new("RGB", (4, 4), (250, 130, 0)))
    assert best(images, Image.new("RGB", (4, 4), (240, 120, 10))) == "orange"


def test_filtered_search_returns_images(images):
    kept = images.where(images.name != "red")
    sim = kept.img.similarity(picture("red"))

    found = kept.order_by(sim, asc=False).limit(1).select(kept.img).collect()[0, "img"]

    assert found.size == (8, 8)
    assert found.getpixel((0, 0)) == COLOURS["grey"]
