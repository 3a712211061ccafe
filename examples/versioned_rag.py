"""A question before and after a document changed, answered from the same table.

    python examples/versioned_rag.py

The handbook of a library says for how long a book is lent. Then it is revised. The table of its
chunks follows by itself: the revised chunk is embedded anew, the others are not. Questions asked
now are answered from the new text, questions asked of the first edition still from the old one,
and a diff says what changed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import barbule as bb
import local_models
from barbule.functions import litellm, string

FIRST = """Members may borrow 5 books at a time. A book is lent for 4 weeks.

The library is open from Tuesday to Saturday, from 10:00 to 18:00.

A card costs 12 euros a year. Children do not pay.
"""
REVISED = FIRST.replace("4 weeks", "6 weeks")
QUESTIONS = ["For how long is a book lent?", "How much does a card cost?"]
PROMPT = "Use the context to answer the question in one sentence.\n\nContext:\n{0}\n\nQuestion: {1}"

embedded: list[str] = []


@bb.udf(batch_size=64, version="minilm-1")
def embed(texts: list[str]) -> list[bb.Vector(384)]:
    embedded.extend(texts)
    return local_models.minilm(texts)


def build() -> tuple[bb.Table, bb.Table, bb.Table]:
    """Declare documents, their chunks, and a table that answers what is put into it."""
    docs = bb.create_table("docs", {"doc": bb.Document})
    chunks = bb.create_view(
        "chunks",
        docs,
        iterator=bb.functions.DocumentSplitter.create(
            document=docs.doc, separators=["\n\n"], chunk_size=100, overlap=0
        ),
    )
    chunks.add_embedding_index("text", string_embed=embed)

    @bb.query
    def retrieve(question: str):
        nearest = chunks.order_by(chunks.text.similarity(question), asc=False)
        return nearest.limit(1).select(nearest.text)

    qa = bb.create_table("qa", {"question": bb.String})
    qa.add_computed_column(context=retrieve(qa.question))
    text = qa.context.map(lambda chunk: chunk.text).join("\n")
    reply = litellm.chat_completions(
        model=f"openai/{local_models.MODEL}",
        messages=[{"role": "user", "content": string.format(PROMPT, text, qa.question)}],
        temperature=0.0,
        max_tokens=30,
    )
    qa.add_computed_column(answer=reply.choices[0].message.content)
    return docs, chunks, qa


def ask(qa: bb.Table, edition: str) -> bb.Checkpoint:
    """Put the questions into the table, and label the state that answered them."""
    qa.delete()
    qa.insert([{"question": question} for question in QUESTIONS])
    return qa.checkpoint(edition)


def passage(chunks: bb.Table, question: str) -> str:
    nearest = chunks.order_by(chunks.text.similarity(question), asc=False).limit(1)
    return " ".join(nearest.collect()[0, "text"].split())


def run(folder: Path) -> None:
    docs, chunks, qa = build()
    (folder / "first.md").write_text(FIRST)
    (folder / "revised.md").write_text(REVISED)

    docs.insert(doc=folder / "first.md")
    old_chunks, old_answers = chunks.checkpoint("first edition"), ask(qa, "first edition")
    print(f"The first edition: {chunks.count().execute()} chunks, {len(embedded)} texts embedded.")
    before = len(embedded)

    docs.update({"doc": str(folder / "revised.md")}, where=docs.doc.notnull())
    new_answers = ask(qa, "revised edition")
    print(f"Revised: {chunks.count().execute()} chunks, {len(embedded) - before} embedded anew.")

    # One table, two states: `at` reads either.
    then, now = (
        dict(zip(state["question"], state["answer"], strict=True))
        for state in (qa.at(old_answers).collect(), qa.at(new_answers).collect())
    )
    for question in QUESTIONS:
        print(f"\nQ: {question}")
        print(f"   before: {then[question].strip()}")
        print(f"   now:    {now[question].strip()}")
    # The past can still be searched, not only read.
    print(f"\nFound now:    {passage(chunks, QUESTIONS[0])}")
    print(f"Found before: {passage(chunks.at(old_chunks), QUESTIONS[0])}")
    print(f"\n{qa.diff(old_answers, new_answers)}")


def main() -> None:
    with (
        local_models.SmolLM2Server() as server,
        tempfile.TemporaryDirectory() as home,
        bb.connect(home=home, models={"openai": {"api_base": server.url}}),
    ):
        run(Path(home))


if __name__ == "__main__":
    main()
