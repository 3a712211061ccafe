"""Which way to cut documents finds more? Two ways are measured over questions with known answers.

    python examples/chunking.py

Each way is a view over the same documents, with an index of its own. A question counts as found
at the rank of the first chunk that holds its answer, word for word. Recall@k is the share of
questions found among the first k chunks; MRR is the mean of 1/rank, so 1.00 would be every answer
in the first chunk. All of it is one dataframe expression.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import ibis
from ibis import _

import barbule as bb
import local_models

DATA = Path(__file__).parent / "data"
WAYS = {
    "sentences": {"separators": ["\n\n", ". "], "chunk_size": 200, "overlap": 0},
    "paragraphs": {"separators": ["\n\n"], "chunk_size": 600, "overlap": 100},
}
# Questions, and words that only a passage with the answer has.
QUESTIONS = {
    "How many tables can a join have at most?": "64 tables",
    "What is the largest size of a string?": "1,000,000,000",
    "How many columns may a table have by default?": "SQLITE_MAX_COLUMN",
    "How many databases can be attached?": "SQLITE_MAX_ATTACHED",
    "Does the write-ahead log work on a network filesystem?": "network filesystem",
    "When does a checkpoint start by itself?": "1000 pages",
    "Can readers go on while somebody writes?": "readers do not block writers",
    "Is there a server to install or configure?": "Zero-configuration",
    "Is it good for embedded devices and the internet of things?": "internet of things",
    "Does it suit a website with much traffic?": "100K hits/day",
}
K = 10


@bb.udf(batch_size=64, version="minilm-1")
def embed(texts: list[str]) -> list[bb.Vector(384)]:
    return local_models.minilm(texts)


def cut(docs: bb.Table, way: str) -> bb.Table:
    """Make a view of the chunks of one way, ready to be searched."""
    splitter = bb.functions.DocumentSplitter.create(document=docs.doc, **WAYS[way])
    chunks = bb.create_view(f"by_{way}", docs, iterator=splitter)
    chunks.add_embedding_index("text", string_embed=embed)
    return chunks


def ranks(chunks: bb.Table, questions: bb.Table) -> bb.Table:
    """Tell for each question at which rank its answer is; none where it is not among K."""
    # A similarity join: all questions are searched for at once.
    found = chunks.text.nearest(questions.question, k=K)
    place = ibis.row_number().over(group_by=_.question, order_by=ibis.desc("score")) + 1
    found = found.mutate(place=place, hit=_.text.lower().contains(_.answer.lower()))
    return found.group_by("question").agg(rank=_.place.min(where=_.hit))


def measures(ranked: bb.Table) -> dict[str, float]:
    within = {f"recall@{k}": (_.rank <= k).fill_null(False).mean() for k in (1, 3, K)}
    return ranked.agg(**within, MRR=(1 / _.rank).fill_null(0).mean()).collect()[0]


def evaluate() -> dict[str, dict[str, float]]:
    docs = bb.create_table("docs", {"doc": bb.Document})
    docs.insert([{"doc": path} for path in sorted(DATA.glob("sqlite-*"))])
    questions = bb.create_table("questions", {"question": bb.String, "answer": bb.String})
    questions.insert([{"question": q, "answer": a} for q, a in QUESTIONS.items()])

    measured = {}
    for way in WAYS:
        chunks = cut(docs, way)
        ranked = ranks(chunks, questions)
        measured[way] = {"chunks": chunks.count().execute(), **measures(ranked)}
        missed = ranked.filter(_.rank.isnull()).collect()["question"]
        print(f"{way}: {len(missed)} questions not found among the first {K}")
        for question in sorted(missed):
            print(f"   - {question}")
    return measured


def main() -> None:
    with tempfile.TemporaryDirectory() as home, bb.connect(home=home):
        measured = evaluate()
    names = list(next(iter(measured.values())))
    print("\n" + " " * 12 + "".join(f"{name:>11}" for name in names))
    for way, row in measured.items():
        shown = (f"{row[n]:>11d}" if n == "chunks" else f"{row[n]:>11.2f}" for n in names)
        print(f"{way:<12}" + "".join(shown))
    best = max(measured, key=lambda way: measured[way]["MRR"])
    print(f"\nBy MRR, {best} find more.")


if __name__ == "__main__":
    main()
