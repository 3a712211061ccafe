"""Questions answered from documents, by models that run on this machine.

    python examples/rag.py
    python examples/rag.py --model anthropic/claude-sonnet-4-5      # any model of LiteLLM

Four documents (PDF, Word, HTML, Markdown) are cut into chunks, embedded and indexed. Questions go
into a table whose columns retrieve, prompt and answer. Then a fifth document comes in: the same
questions, asked again, are answered from it as well. A second run asks the models nothing: every
answer is in the call ledger.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import math
import textwrap
import time
from pathlib import Path

from ibis import _

import barbule as bb
import local_models
from barbule.functions import litellm, string

DATA = Path(__file__).parent / "data"
DOCUMENTS = [
    DATA / "sqlite-uses.pdf",
    DATA / "sqlite-limits.docx",
    DATA / "sqlite-features.html",
    DATA.parent.parent / "docs" / "design.md",
]
LATER = DATA / "sqlite-write-ahead-log.html"
PORT = 18217  # the answers of a second run are found by the address of the model
QUESTIONS = [
    "What is a barbule?",
    "How many attached databases are allowed by default?",
    "What is the maximum size of an SQLite database?",
    "Does SQLite need a server process?",
    "Does the write-ahead log work over a network filesystem?",
]
PROMPT = "Use the context to answer the question in one sentence.\n\nContext:\n{0}\n\nQuestion: {1}"

Span = tuple[float, float]  # from when to when, in seconds
embedding_spans: list[Span] = []


@bb.udf(batch_size=64, version="minilm-1")
def embed(texts: list[str]) -> list[bb.Vector(384)]:
    started = time.time()
    vectors = local_models.minilm(texts)
    embedding_spans.append((started, time.time()))
    return vectors


# --- the library's part --------------------------------------------------------------------------


def build(model: str) -> tuple[bb.Table, bb.Table, bb.Table]:
    """Declare everything; nothing below is called again when data comes in."""
    docs = bb.create_table("rag.docs", {"doc": bb.Document}, if_exists="replace_force")
    chunks = bb.create_view(
        "rag.chunks",
        docs,
        iterator=bb.functions.DocumentSplitter.create(
            document=docs.doc, separators=["。", "!", "?", "\n\n"], chunk_size=300, overlap=50
        ),
    )
    chunks.add_embedding_index("text", string_embed=embed)

    @bb.query
    def retrieve(question: str, top_k: int = 3):
        nearest = chunks.order_by(chunks.text.similarity(question), asc=False).limit(top_k)
        return nearest.select(nearest.text, nearest.heading, nearest.page, file=nearest.doc.uri())

    qa = bb.create_table("rag.qa", {"question": bb.String}, if_exists="replace")
    qa.add_computed_column(context=retrieve(qa.question))
    texts = qa.context.map(lambda chunk: chunk.text).join("\n")
    qa.add_computed_column(prompt=string.format(PROMPT, texts, qa.question))
    reply = litellm.chat_completions(
        model=model,
        messages=[{"role": "user", "content": qa.prompt}],
        temperature=0.0,
        max_tokens=60,
    )
    qa.add_computed_column(answer=reply.choices[0].message.content)
    return docs, chunks, qa


def run(model: str) -> list[bb.InsertResult]:
    """Fill the tables, twice, and show what changed in between."""
    docs, chunks, qa = build(model)
    results = [docs.insert([{"doc": path} for path in DOCUMENTS])]
    results.append(qa.insert([{"question": question} for question in QUESTIONS]))
    before = qa.checkpoint("four documents")
    report("Answers from four documents", qa)

    results.append(docs.insert(doc=LATER))
    results.append(qa.insert(question=QUESTIONS[-1]))
    after = qa.checkpoint("five documents")
    report(f"Asked again, with {LATER.name}", qa.diff(before, after).added)

    print(
        f"\nat({before!r}) has {qa.at(before).count().execute()} answers, "
        f"at({after!r}) has {qa.at(after).count().execute()}."
    )
    print(qa.diff(before, after))
    print(f"{chunks.count().execute()} chunks of {docs.count().execute()} documents.")
    return results


# --- the report ----------------------------------------------------------------------------------


def report(title: str, answers: bb.Table) -> None:
    print(f"\n{title}\n{'=' * len(title)}")
    for row in answers.select("question", "answer", "context").collect():
        print(f"\nQ: {row['question']}")
        print(textwrap.fill(f"A: {row['answer'].strip()}", 96, subsequent_indent="   "))
        for source in row["context"]:
            place = f", page {source['page']}" if source["page"] else ""
            heading = f": {source['heading']}" if source["heading"] else ""
            print(f"   - {Path(source['file']).name}{place}{heading}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", help="a LiteLLM model; a local SmolLM2 if left out")
    parser.add_argument("--home", default=".barbule/rag", help="where everything is kept")
    options = parser.parse_args()

    started = time.time()
    with contextlib.ExitStack() as stack:
        local = (
            None if options.model else stack.enter_context(local_models.SmolLM2Server(port=PORT))
        )
        models = {"openai": {"api_base": local.url}} if local else None
        stack.enter_context(bb.connect(home=options.home, models=models))
        documents, answers, *later = run(options.model or f"openai/{local_models.MODEL}")
        since = datetime.datetime.fromtimestamp(started, datetime.UTC)
        calls = bb.calls().filter(_.at > since, _.model.notnull()).select("at", "seconds").collect()
    results = [documents, answers, *later]
    answered = [(row["at"].timestamp(), row["seconds"] or 0.0) for row in calls]
    asking_spans = [(max(end - seconds, started), end) for end, seconds in answered]
    print(
        f"\n{len(answered)} model calls, "
        f"{sum(each.hits for each in results)} questions answered by the ledger"
    )
    print(times((started, time.time()), asking_spans, embedding_spans))


def times(whole: Span, asking: list[Span], embedding: list[Span]) -> str:
    """Say what a run took, in parts that add up: what models do at the same time counts once."""
    # In tenths of seconds, as they are shown: rounded each by itself, parts need not add up.
    total = round(covered([whole]) * 10)
    models = min(round(covered(asking) * 10), total)
    vectors = max(min(round(covered(asking + embedding) * 10), total) - models, 0)
    rest = total - models - vectors
    return (
        f"{total / 10} s: {models / 10} s language model, "
        f"{vectors / 10} s embedding, {rest / 10} s everything else"
    )


def covered(spans: list[Span]) -> float:
    """Return for how many seconds at least one of the spans lasted."""
    seconds, until = 0.0, -math.inf
    for start, end in sorted(spans):
        seconds += max(end - max(start, until), 0.0)
        until = max(until, end)
    return seconds


if __name__ == "__main__":
    main()
