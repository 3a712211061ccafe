"""Embeddings that need no model, and sessions over both kinds of vector store."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

import barbule as bb

LENGTH = 8


def vector_of(text: str) -> list[float]:
    """Return a vector that depends on the text alone and is far from zero."""
    seed = zlib.crc32(text.encode())
    return np.random.default_rng(seed).normal(size=LENGTH).astype("float32").tolist()


def similarities(texts: list[str], query: str, metric: str = "cosine") -> np.ndarray:
    """Compute the expected results of `similarity` by brute force."""
    rows = np.array([vector_of(text) for text in texts], dtype="float64")
    asked = np.array(vector_of(query), dtype="float64")
    if metric == "l2":
        return -np.linalg.norm(rows - asked, axis=1)
    inner = rows @ asked
    if metric == "ip":
        return inner
    return inner / (np.linalg.norm(rows, axis=1) * np.linalg.norm(asked))


def nearest(texts: list[str], query: str, k: int, metric: str = "cosine") -> list[str]:
    """Return the k nearest texts, nearest first."""
    order = np.argsort(-similarities(texts, query, metric), kind="stable")[:k]
    return [texts[place] for place in order]


@pytest.fixture
def embed():
    """Embed texts in batches; `embed.asked` lists all texts that it was called with."""
    asked: list[str] = []

    @bb.udf(batch_size=16)
    def embed(texts: list[str]) -> list[bb.Vector(LENGTH)]:
        asked.extend(texts)
        return [vector_of(text) for text in texts]

    embed.__dict__["asked"] = asked
    return embed


@pytest.fixture(params=["exact", "chroma"])
def store(request, tmp_path):
    """Connect to a database whose vectors are in arrays, or in an embedded Chroma."""
    url = "exact:" if request.param == "exact" else f"chroma://{tmp_path / 'chroma'}"
    return bb.connect(vectors=url)


def texts_of(count: int, start: int = 0) -> list[str]:
    return [f"text number {n}" for n in range(start, start + count)]


def filled(embed, count: int = 40, **options):
    """Create an indexed table with numbers `n` from 0 and a text for each."""
    table = bb.create_table("chunks", {"n": bb.Int, "text": bb.String})
    table.insert([{"n": n, "text": text} for n, text in enumerate(texts_of(count))])
    table.add_embedding_index("text", string_embed=embed, **options)
    return table


@pytest.fixture
def make():
    """Return `filled`."""
    return filled
