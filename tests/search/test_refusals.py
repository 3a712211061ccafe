"""Errors of searches and embedding indexes."""

from __future__ import annotations

import pytest

import barbule as bb
from barbule.errors import (
    BarbuleError,
    ColumnNotFoundError,
    ConfigurationError,
    ExpressionError,
    FunctionError,
    TableExistsError,
)

from .conftest import LENGTH, filled, vector_of


@pytest.fixture
def chunks(session, embed):
    return filled(embed, 5)


def searched(table, query="query", **options):
    sim = table.text.similarity(query, **options)
    return table.order_by(sim, asc=False).limit(2)


def test_a_column_without_an_index_cannot_be_searched(session):
    table = bb.create_table("t", {"text": bb.String})

    with pytest.raises(
        ExpressionError, match=r"table 't', column 'text': the column has no embedding"
    ):
        searched(table).collect()
    with pytest.raises(ExpressionError, match="add_embedding_index"):
        table.select(s=table.text.similarity("a")).collect()


def test_search_with_several_indexes_needs_index_name(chunks, embed):
    chunks.add_embedding_index("text", string_embed=embed, metric="l2", name="far")

    with pytest.raises(ExpressionError, match=r"far.*index="):
        searched(chunks).collect()
    assert len(searched(chunks, index="far").collect()) == 2


def test_unknown_index_name_is_refused(chunks):
    with pytest.raises(ColumnNotFoundError, match="'nothing'"):
        searched(chunks, index="nothing").collect()


def test_a_vector_of_another_length_is_refused(chunks):
    with pytest.raises(ExpressionError, match=rf"has 3 numbers.*has {LENGTH}"):
        searched(chunks, [0.1, 0.2, 0.3]).collect()


@pytest.mark.parametrize("query", [3.5, object(), ["a", "b"], {"text": "a"}])
def test_unsupported_query_value_is_refused(chunks, query):
    with pytest.raises(ExpressionError, match="cannot be used as a search query"):
        chunks.text.similarity(query)


def test_similarity_of_expression_is_refused(chunks):
    changed = chunks.select(up=chunks.text.upper())
    with pytest.raises(ExpressionError, match="needs a column of a table"):
        changed.order_by(changed.up.similarity("a"), asc=False).limit(1).collect()


def test_an_index_on_an_unknown_column_is_refused(chunks, embed):
    with pytest.raises(ColumnNotFoundError, match=r"column 'body'.*text"):
        chunks.add_embedding_index("body", string_embed=embed)


def test_duplicate_index_name_is_refused(chunks, embed):
    with pytest.raises(TableExistsError, match="already"):
        chunks.add_embedding_index("text", string_embed=embed)
    assert chunks.add_embedding_index("text", string_embed=embed, if_exists="ignore").rows == 0


def test_index_needs_exactly_one_embedding(chunks, embed):
    with pytest.raises(ExpressionError, match="embedding"):
        chunks.add_embedding_index("text")
    with pytest.raises(ExpressionError, match="embedding"):
        chunks.add_embedding_index("text", embedding=embed, string_embed=embed)


def test_unknown_metric_is_refused(chunks, embed):
    with pytest.raises(ConfigurationError, match="'cosine', 'ip', 'l2'"):
        chunks.add_embedding_index("text", string_embed=embed, metric="manhattan", name="m")


def test_embedding_without_vector_length_is_refused(chunks):
    @bb.udf(batch_size=4)
    def loose(texts: list[str]) -> list[list[float]]:
        return [vector_of(text) for text in texts]

    with pytest.raises(ExpressionError, match=r"vectors of a known length.*bb\.Vector"):
        chunks.add_embedding_index("text", string_embed=loose, name="loose")


def test_plain_function_as_embedding_is_refused(chunks):
    with pytest.raises(ExpressionError, match=r"@bb\.udf"):
        chunks.add_embedding_index("text", string_embed=vector_of, name="plain")


def test_embedding_with_wrong_length_adds_no_index(session):
    @bb.udf(batch_size=4)
    def short(texts: list[str]) -> list[bb.Vector(LENGTH)]:
        return [[1.0, 2.0] for _ in texts]

    table = bb.create_table("t", {"text": bb.String})
    table.insert(text="a")

    with pytest.raises(BarbuleError, match=f"2 items, not {LENGTH}"):
        table.add_embedding_index("text", string_embed=short)
    assert table.history()[0]["operation"] == "insert"
    with pytest.raises(ExpressionError, match="no embedding index"):
        searched(table).collect()


def test_failing_embedding_aborts_insert(session):
    @bb.udf(batch_size=4)
    def picky(texts: list[str]) -> list[bb.Vector(LENGTH)]:
        if "bad" in texts:
            raise ValueError("it dislikes this text")
        return [vector_of(text) for text in texts]

    table = bb.create_table("t", {"text": bb.String})
    table.insert(text="good")
    table.add_embedding_index("text", string_embed=picky)

    with pytest.raises(FunctionError, match=r"table 't'.*dislikes this text"):
        table.insert([{"text": "fine"}, {"text": "bad"}])
    assert table.collect()["text"] == ["good"]
    assert searched(table).collect()["text"] == ["good"]


def test_similarity_in_computed_column_is_refused(chunks):
    with pytest.raises(ExpressionError, match=r"@bb\.query"):
        chunks.add_computed_column(s=chunks.text.similarity("a"))
