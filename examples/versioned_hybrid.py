"""Hybrid search with filters, before and after a document changed, from the same table.

    python examples/versioned_hybrid.py

Notes of a manual are found by their words, by their meaning, and by both. One of them is then
corrected: the table answers by the new text, and `at(...)` still by the old one.
"""

from __future__ import annotations

import tempfile

import barbule as bb
import local_models

NOTES = [
    (1, "engine", "Change the oil of the motor every 10,000 km."),
    (2, "engine", "Error E42 means that the coolant is too hot: stop and wait."),
    (3, "brakes", "Brake fluid is renewed every two years."),
    (4, "tyres", "The pressure of the front tyres is 2.3 bar."),
    (5, "lights", "Error E17 means that a headlamp has failed."),
]
CORRECTED = "The pressure of the front tyres is 2.5 bar when the car is loaded."


@bb.udf(batch_size=64, version="minilm-1")
def embed(texts: list[str]) -> list[bb.Vector(384)]:
    return local_models.minilm(texts)


def build() -> bb.Table:
    notes = bb.create_table(
        "manual", {"page": bb.Int, "chapter": bb.String, "text": bb.String}, if_exists="replace"
    )
    notes.insert([{"page": p, "chapter": c, "text": t} for p, c, t in NOTES])
    notes.add_embedding_index("text", string_embed=embed)
    return notes


def best(notes: bb.Table, query: str, mode: str = "hybrid") -> str:
    score = notes.text.search(query, mode=mode)
    return notes.order_by(score, asc=False).limit(1).collect()[0, "text"]


def main() -> dict[str, str]:
    with tempfile.TemporaryDirectory() as home, bb.connect(home=home):
        notes = build()
        before = notes.checkpoint("first print")
        found = {
            "by words": best(notes, "E42", "keyword"),
            "by meaning": best(notes, "overheating", "vector"),
            "by both": best(notes, "E17 lamp broken"),
            "by both, brakes only": best(notes.where(notes.chapter == "brakes"), "how often"),
        }
        notes.update({"text": CORRECTED}, where=notes.chapter == "tyres")
        found["after the correction"] = best(notes, "front tyres pressure")
        found["as it was printed"] = best(notes.at(before), "front tyres pressure")
    for how, text in found.items():
        print(f"{how}: {text}")
    return found


if __name__ == "__main__":
    main()
