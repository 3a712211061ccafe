"""Photographs searched by photographs, and by words where a CLIP model can be had.

    python examples/photographs.py
    python examples/photographs.py --clip path/to/a/clip/model

Two indexes stand on one column. The first needs no model: it compares colours and the directions
of edges, so it finds what *looks* alike. The second is CLIP, which has texts and images in one
space, so that "a cat" finds the cat; it needs `pip install 'barbule[huggingface]'` and, the first
time, the Hugging Face hub. Where it is not to be had the example says so and goes on.
"""

from __future__ import annotations

import argparse
import tempfile

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

import barbule as bb
import local_models
from barbule.functions import huggingface

CLIP = "openai/clip-vit-base-patch32"
SENTENCES = ["a cat", "something to drink", "the night sky", "a vehicle with two wheels"]


# --- an embedding of one's own ------------------------------------------------------------------


@bb.udf(batch_size=16)
def look(photos: list[bb.Image]) -> list[bb.Vector(192)]:
    """Say how photographs look: their colours, and which way edges run in each part of them."""
    return [np.concatenate([colours(photo), edges(photo)]) for photo in photos]


def colours(photo: Image.Image) -> np.ndarray:
    """Count 4 x 4 x 4 shades of red, green and blue."""
    pixels = np.asarray(photo.convert("RGB").resize((64, 64))).reshape(-1, 3) // 64
    counts = np.bincount(pixels @ [16, 4, 1], minlength=64)
    return np.sqrt(counts / counts.sum())  # a few strong colours do not drown the others


def edges(photo: Image.Image) -> np.ndarray:
    """Sum up gradients by 8 directions, in each of 4 x 4 parts."""
    grey = np.asarray(photo.convert("L").resize((64, 64)), "float32")
    down, right = np.gradient(grey)
    direction = (np.arctan2(down, right) % np.pi / np.pi * 8).astype(int) % 8
    part = np.add.outer(np.arange(64) // 16 * 4, np.arange(64) // 16)
    weight = np.hypot(down, right).ravel()
    sums = np.bincount((part * 8 + direction).ravel(), weight, minlength=128)
    return np.sqrt(sums / max(sums.sum(), 1e-9))


# --- the table and its searches -----------------------------------------------------------------


def build() -> bb.Table:
    photos = bb.create_table("photographs", {"name": bb.String, "photo": bb.Image})
    photos.add_computed_column(width=photos.photo.width(), height=photos.photo.height())
    photos.add_embedding_index("photo", image_embed=look, name="look")
    # From here on the table keeps sizes and vectors by itself, for these rows and later ones.
    photos.insert([{"name": n, "photo": p} for n, p in local_models.photographs().items()])
    return photos


def queries(photos: bb.Table) -> dict[str, Image.Image]:
    """Make pictures that are not in the table, of some that are."""
    cat, rocket, motorcycle = (
        photos.where(photos.name == name).collect()[0, "photo"]
        for name in ("chelsea", "rocket", "motorcycle_left")
    )
    return {
        "the cat, mirrored and darker": ImageEnhance.Brightness(ImageOps.mirror(cat)).enhance(0.8),
        "the rocket, a part of it": rocket.crop((40, 0, 600, 400)),
        "the motorcycle, as a thumbnail": motorcycle.resize((90, 60)),
    }


def search(photos: bb.Table, query: str | Image.Image, index: str, k: int = 3) -> list[str]:
    """Return the names of the nearest photographs, with how near they are."""
    nearness = photos.photo.similarity(query, index=index)
    best = photos.order_by(nearness, asc=False).limit(k).select("name", score=nearness).collect()
    return [f"{row['name']} {row['score']:.2f}" for row in best]


def by_looks(photos: bb.Table) -> None:
    print("\nBy looks\n========")
    for told, picture in queries(photos).items():
        print(f"{told}: {', '.join(search(photos, picture, 'look'))}")
    # Filters go with a search: the right rows are found, however few there are.
    small = photos.where(photos.width < 500)
    (_, cat), *_ = queries(photos).items()
    print(f"the cat, among {small.count().execute()} small ones: {search(small, cat, 'look')[0]}")


def by_words(photos: bb.Table, model_id: str) -> None:
    print("\nBy words\n========")
    embedding = huggingface.clip.using(model_id=model_id)
    try:
        photos.add_embedding_index("photo", embedding=embedding, name="meaning")
    except bb.BarbuleError as error:
        print(f"Not here: {error}")
        return
    for sentence in SENTENCES:
        print(f"{sentence}: {', '.join(search(photos, sentence, 'meaning'))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--clip", default=CLIP, help="a CLIP model: its name at the hub, a folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, bb.connect(home=home):
        photos = build()
        print(photos.select("name", "width", "height").collect())
        by_looks(photos)
        by_words(photos, options.clip)


if __name__ == "__main__":
    main()
