"""Vector search strategies, similarity joins, versions and invalid vectors."""

from __future__ import annotations

import itertools
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pytest
from ibis import _

import barbule as bb
from barbule.errors import BarbuleError, DataError, ExpressionError

from .conftest import LENGTH, filled, nearest, similarities, texts_of

ROWS = 400
METRICS = ["cosine", "ip", "l2"]
SHARES = [1.0, 0.5, 0.1, 0.02, 0.004]


def vectors_of(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, LENGTH)).astype("float32")


def scores(rows, query, metric):
    rows, query = rows.astype("float64"), query.astype("float64")
    if metric == "l2":
        return -np.linalg.norm(rows - query, axis=1)
    inner = rows @ query
    if metric == "ip":
        return inner
    return inner / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)


def made(rows, metric="cosine", name="points"):
    table = bb.create_table(name, {"n": bb.Int, "share": bb.Float, "v": bb.Vector(LENGTH)})
    share = (np.arange(len(rows)) * 7919 % len(rows)) / max(len(rows), 1)
    table.insert([{"n": n, "share": share[n], "v": row.tolist()} for n, row in enumerate(rows)])
    table.add_embedding_index("v", metric=metric)
    return table, share


def top(table, query, k):
    found = table.order_by(table.v.similarity(query), asc=False).limit(k)
    return found.select("n", s=table.v.similarity(query)).collect()


@pytest.fixture(params=["memory", "index", "database"])
def strategy(request, tmp_path):
    """Connect so that searches use one of the three strategies."""
    if request.param != "memory":
        Path("barbule.toml").write_text("[search]\nmax_matrix_bytes = 0\n")
    index = f"chroma://{tmp_path / 'chroma'}"
    bb.connect(vectors=index if request.param == "index" else "exact:")
    return request.param


def settled():
    from barbule.session import current

    current()._engine.indexing.wait()


@pytest.mark.parametrize("metric", METRICS)
def test_each_strategy_finds_nearest_rows_with_each_filter(strategy, metric):
    rows = vectors_of(ROWS)
    table, share = made(rows, metric)
    settled()
    query = vectors_of(1, seed=1)[0]
    expected = scores(rows, query, metric)

    for kept in SHARES:
        searched = table if kept == 1.0 else table.where(table.share < kept)
        allowed = np.flatnonzero(share < kept)
        best = allowed[np.argsort(-expected[allowed])][:10]

        found = top(searched, query, 10)

        assert found["n"] == best.tolist(), kept
        np.testing.assert_allclose(found["s"], expected[best], rtol=1e-4, atol=1e-5)


def test_plan_names_search_strategy_and_reason(strategy):
    table, _share = made(vectors_of(ROWS))
    settled()
    query = vectors_of(1, seed=1)[0]
    said = {
        "memory": "compared exactly with vectors in memory: ",
        "index": "found by the index, ",
        "database": "compared exactly by the database: ",
    }[strategy]
    for searched in (table, table.where(table.share < 0.5)):
        shown = str(searched.order_by(searched.v.similarity(query), asc=False).limit(3).explain())
        assert said in shown
        assert "Candidates 0" in shown
        assert f"{ROWS} rows" in shown


def test_rows_missing_from_index_are_found(tmp_path):
    Path("barbule.toml").write_text("[search]\nmax_matrix_bytes = 0\n")
    session = bb.connect(vectors=f"chroma://{tmp_path / 'chroma'}")
    rows = vectors_of(ROWS)
    table, _share = made(rows)
    session._engine.indexing.wait()
    session._engine.indexing.stop()  # from here on the index is not synced
    query = vectors_of(1, seed=1)[0]
    order = np.argsort(-scores(rows, query, "cosine"))

    table.delete(where=table.n == int(order[0]))
    table.update({"v": (-query).tolist()}, where=table.n == int(order[1]))
    table.insert([{"n": ROWS, "share": 0.0, "v": (2 * query).tolist()}])

    assert top(table, query, 5)["n"] == [ROWS, *order[2:6].tolist()]
    shown = table.order_by(table.v.similarity(query), asc=False).limit(3).explain()
    assert "found by the index" in str(shown)


def test_vectors_in_memory_follow_the_table(session):
    live = dict(enumerate(vectors_of(60)))
    table, _share = made(np.stack(list(live.values())))
    chance = np.random.default_rng(5)
    query = vectors_of(1, seed=1)[0]
    for turn in range(12):
        n, row = int(chance.integers(0, 80)), vectors_of(1, seed=100 + turn)[0]
        kind = turn % 3
        if kind == 0:
            table.insert([{"n": 100 + turn, "share": 0.0, "v": row.tolist()}])
            live[100 + turn] = row
        elif kind == 1:
            table.delete(where=(table.n >= n) & (table.n < n + 3))
            live = {key: each for key, each in live.items() if not n <= key < n + 3}
        else:
            table.update({"v": row.tolist()}, where=table.n == n)
            live |= {n: row} if n in live else {}
        keys = np.array(list(live))
        order = np.argsort(-scores(np.stack(list(live.values())), query, "cosine"))[:7]
        assert top(table, query, 7)["n"] == keys[order].tolist()


def test_vector_cache_is_bounded_and_evicts_least_recently_used(tmp_path):
    bytes_of = 100 * LENGTH * 4
    Path("barbule.toml").write_text(f"[search]\nmax_matrix_bytes = {2 * bytes_of}\n")
    session = bb.connect(vectors="exact:")
    query = vectors_of(1, seed=1)[0]
    tables = [made(vectors_of(100, seed=n), name=f"t{n}")[0] for n in range(3)]
    for table, turn in itertools.product(tables, range(2)):
        assert len(top(table, query, 3)) == 3, turn
        assert session._engine.database.nearest.nbytes <= 2 * bytes_of
    large, _share = made(vectors_of(300), name="large")
    assert len(top(large, query, 3)) == 3
    shown = large.order_by(large.v.similarity(query), asc=False).limit(3).explain()
    assert "compared exactly by the database: 300 rows, too many vectors to keep in memory" in str(
        shown
    )
    assert "with vectors in memory" not in str(shown)


def test_order_by_mutated_score_is_a_search(session, embed):
    chunks = filled(embed)
    scored = chunks.mutate(score=chunks.text.similarity("query"))
    found = scored.order_by(_.score.desc()).limit(4)
    assert "Candidates 0" in str(found.explain())
    rows = found.collect()
    assert rows["text"] == nearest(texts_of(40), "query", 4)
    expected = np.sort(similarities(texts_of(40), "query"))[::-1][:4]
    np.testing.assert_allclose(rows["score"], expected, rtol=1e-5)


def test_cached_plan_serves_other_query_texts(session, embed):
    chunks = filled(embed)
    for text in ("one", "two", "one", "text number 3"):
        found = (
            chunks.where(chunks.text != text)
            .order_by(chunks.text.similarity(text), asc=False)
            .limit(3)
        )
        expected = [each for each in texts_of(40) if each != text]
        assert found.collect()["text"] == nearest(expected, text, 3)


# Similarity joins


@pytest.mark.parametrize("metric", METRICS)
def test_similarity_join_finds_nearest_rows_of_each_row(strategy, metric):
    rows, asked = vectors_of(ROWS), vectors_of(30, seed=2)
    table, share = made(rows, metric)
    queries = bb.create_table("queries", {"q": bb.Int, "w": bb.Vector(LENGTH)})
    queries.insert([{"q": n, "w": row.tolist()} for n, row in enumerate(asked)])
    queries.insert([{"q": 30, "w": None}])

    for kept in (1.0, 0.1, 0.005):
        searched = table if kept == 1.0 else table.where(table.share < kept)
        pairs = searched.v.nearest(queries.w, k=4)
        found: dict[int, list[int]] = {}
        for row in pairs.order_by("q", ibis.desc("score")).collect():
            found.setdefault(row["q"], []).append(row["n"])
        allowed = np.flatnonzero(share < kept)
        for n, query in enumerate(asked):
            order = np.argsort(-scores(rows[allowed], query, metric))[:4]
            assert found[n] == allowed[order].tolist()
        assert 30 not in found


def test_similarity_join_can_be_grouped_and_filtered(session, embed):
    chunks = filled(embed)
    asked = bb.create_table("asked", {"text": bb.String})
    asked.insert([{"text": "one"}, {"text": "two"}, {"text": None}])

    pairs = chunks.text.nearest(asked.text.upper(), k=3, name="alike")
    best = pairs.group_by("text").agg(best=_.alike.max(), rows=_.count()).order_by("text")
    above = pairs.filter(_.alike > 0.5).select("text", "text_right", "alike").collect()

    assert pairs.columns == ("text", "n", "text_right", "alike")
    for row in best.collect():
        expected = similarities(texts_of(40), row["text"].upper())
        assert row["rows"] == 3
        assert row["best"] == pytest.approx(expected.max(), rel=1e-5)
    assert all(row["alike"] > 0.5 for row in above)
    assert asked.count().to_pyarrow().as_py() == 3


def test_similarity_join_with_itself_and_with_old_version(session):
    table, _share = made(vectors_of(50))
    table.checkpoint("whole")
    table.delete(where=table.n >= 25)

    own = table.v.nearest(table.v, k=1).collect()
    past = table.at("whole")
    old = past.v.nearest(table.v, k=2).filter(_.n == _.n_right).count()

    assert own["n"] == own["n_right"]
    assert len(own) == 25
    assert old.to_pyarrow().as_py() == 25


def test_invalid_similarity_joins_are_refused(session, embed):
    chunks = filled(embed, 5)
    asked = bb.create_table("asked", {"text": bb.String, "score": bb.Float})
    with pytest.raises(ExpressionError, match="takes a column of another table"):
        chunks.text.nearest("a text")
    with pytest.raises(ExpressionError, match="this number of rows"):
        chunks.text.nearest(asked.text, k=-1)
    with pytest.raises(ExpressionError, match="'score' already"):
        chunks.text.nearest(asked.text)
    with pytest.raises(ExpressionError, match="no embedding index"):
        asked.text.nearest(chunks.text).collect()
    assert len(chunks.text.nearest(asked.text, k=0, name="s").collect()) == 0


# Versions


def test_old_versions_and_branches_are_searched_exactly(session):
    rows = vectors_of(80)
    table, _share = made(rows)
    query = vectors_of(1, seed=1)[0]
    states = {}
    for step in range(15):
        version = table.history()[0, "version"]
        states[version] = {row["n"]: row["v"] for row in table.collect()}
        table.update({"v": vectors_of(1, seed=50 + step)[0].tolist()}, where=table.n == step)
        table.delete(where=table.n == 79 - step)
    branch = table.branch("other")
    branch.delete(where=branch.n < 20)

    for version, state in states.items():
        keys = np.array(list(state))
        order = np.argsort(-scores(np.array(list(state.values())), query, "cosine"))[:10]
        assert top(table.at(version), query, 10)["n"] == keys[order].tolist()
    live = {row["n"]: row["v"] for row in branch.collect()}
    keys = np.array(list(live))
    order = np.argsort(-scores(np.array(list(live.values())), query, "cosine"))[:5]
    assert top(branch, query, 5)["n"] == keys[order].tolist()


def test_diff_reports_embedding_drift(session, embed):
    chunks = filled(embed, 6)
    before = chunks.checkpoint("before")
    chunks.update({"text": "quite another text"}, where=chunks.n == 2)
    chunks.update({"n": 100}, where=chunks.n == 5)
    after = chunks.checkpoint("after")

    (drift,) = chunks.diff(before, after).drift.values()
    (row,) = drift.collect()

    assert (row["text_old"], row["text_new"]) == ("text number 2", "quite another text")
    expected = similarities(["text number 2"], "quite another text")[0]
    assert row["cosine"] == pytest.approx(expected, rel=1e-5)


# Bad input


def test_zero_and_null_vectors_come_last(strategy):
    table = bb.create_table("points", {"n": bb.Int, "v": bb.Vector(2)})
    rows = [[1.0, 0.0], [0.0, 0.0], None, [0.0, 1.0], [0.0, 0.0]]
    table.insert([{"n": n, "v": row} for n, row in enumerate(rows)])
    table.add_embedding_index("v")
    settled()

    found = table.order_by(table.v.similarity([1.0, 0.1]), asc=False)

    assert found.limit(2).collect()["n"] == [0, 3]
    assert sorted(found.limit(5).collect()["n"]) == [0, 1, 2, 3, 4]
    assert found.limit(5).collect()["n"][:2] == [0, 3]


@pytest.mark.parametrize("metric", METRICS)
def test_vectors_with_nan_have_no_score_and_come_last(strategy, metric):
    table = bb.create_table("points", {"n": bb.Int, "v": bb.Vector(2)})
    rows = [[float("nan"), 1.0], [1.0, 0.0], [0.0, 1.0]]
    table.insert([{"n": n, "v": row} for n, row in enumerate(rows)])
    table.add_embedding_index("v", metric=metric)
    settled()

    table.checkpoint("then")
    for searched in (table, table.at("then"), table.branch("other")):
        sim = searched.v.similarity([1.0, 0.1])
        found = searched.order_by(sim, asc=False)
        assert found.limit(2).collect()["n"] == [1, 2]
        assert found.limit(3).collect()["n"] == [1, 2, 0]
        assert searched.filter(searched.n == 0).select(s=sim).collect()["s"] == [None]
        assert searched.filter(sim.isnull()).collect()["n"] == [0]


def test_vectors_without_cosine_have_no_score_in_scan(strategy):
    table = bb.create_table("points", {"n": bb.Int, "v": bb.Vector(2)})
    nothing = [[float("nan"), 1.0], [0.0, 0.0], [float("inf"), 1.0], [1e30, 1e30], None]
    rows = [*nothing, [-1.0, 0.0], [0.0, 1.0]]
    table.insert([{"n": n, "v": row} for n, row in enumerate(rows)])
    table.add_embedding_index("v")
    settled()
    table.checkpoint("then")
    for searched in (table, table.at("then")):
        sim = searched.v.similarity([1.0, 0.0])
        scanned = searched.order_by("n").select(s=sim).collect()["s"]
        assert scanned == [None] * 5 + [-1.0, 0.0]
        with_itself = searched.order_by("n").select(s=searched.v.similarity(searched.v))
        assert with_itself.collect()["s"] == [None] * 5 + [1.0, 1.0]
        best = searched.order_by(sim, asc=False).limit(7).select("n", s=sim).collect()
        assert best["n"][:2] == [6, 5]
        assert best["s"] == [0.0, -1.0] + [None] * 5


def test_nan_query_embedding_raises(strategy):
    @bb.udf(batch_size=4)
    def odd(texts: list[str]) -> list[bb.Vector(2)]:
        return [[float("nan") if text == "bad" else 1.0, len(text)] for text in texts]

    table = bb.create_table("t", {"text": bb.String})
    table.insert([{"text": "good"}, {"text": "bad"}])
    table.add_embedding_index("text", string_embed=odd)
    settled()

    sim = table.text.similarity("good")
    assert table.order_by(sim, asc=False).limit(2).collect()["text"] == ["good", "bad"]
    bad = table.text.similarity("bad")
    for asked in (table.order_by(bad, asc=False).limit(1), table.mutate(s=bad)):
        with pytest.raises(ExpressionError, match=r"table 't'.*holds NaN.*'text_odd'"):
            asked.collect()


@pytest.mark.parametrize("when", ["now", "then"])
@pytest.mark.parametrize(
    ("numbers", "metric", "message"),
    [
        ([float("nan"), 1.0], "ip", "holds NaN or an infinite number"),
        ([1.0, float("-inf")], "l2", "holds NaN or an infinite number"),
        ([0.0, 0.0], "cosine", "is zero and has no cosine"),
        ([1e30, 1.0], "cosine", "holds numbers that are too large"),
    ],
)
def test_incomparable_query_raises_in_each_strategy(strategy, when, numbers, metric, message):
    @bb.udf(batch_size=4)
    def odd(texts: list[str]) -> list[bb.Vector(2)]:
        return [numbers if text == "bad" else [1.0, len(text)] for text in texts]

    table = bb.create_table("t", {"text": bb.String, "v": bb.Vector(2)})
    table.insert([{"text": "good", "v": [1.0, 2.0]}])
    table.add_embedding_index("text", string_embed=odd, metric=metric)
    table.add_embedding_index("v", metric=metric)
    settled()
    searched = table if when == "now" else table.at(table.checkpoint("then"))
    given = ibis.literal(numbers, "array<float64>").cast(ibis.dtype("array<float32>"))

    for query in (searched.text.similarity("bad"), searched.v.similarity(given)):
        for asked in (searched.order_by(query, asc=False).limit(1), searched.select(s=query)):
            with pytest.raises(ExpressionError, match=f"the query vector {message}"):
                asked.collect()


@pytest.mark.parametrize("query", [[float("nan"), 1.0], [float("inf"), 1.0], [1e300, 1.0]])
def test_nan_or_infinite_query_vector_is_refused(session, query):
    table = bb.create_table("points", {"v": bb.Vector(2)})
    table.add_embedding_index("v")
    with pytest.raises(
        ExpressionError, match="NaN, an infinite number or a number that is too large"
    ):
        table.v.similarity(query)


def test_zero_query_and_wrong_length_query_are_refused(session):
    table = bb.create_table("points", {"v": bb.Vector(2)})
    table.add_embedding_index("v")
    with pytest.raises(ExpressionError, match="zero and has no cosine"):
        table.order_by(table.v.similarity([0.0, 0.0]), asc=False).limit(1).collect()
    with pytest.raises(ExpressionError, match="3 numbers, the index 'v_vectors' has 2"):
        table.order_by(table.v.similarity([0.0, 0.0, 1.0]), asc=False).limit(1).collect()


def test_text_query_on_vector_index_is_refused(session):
    table = bb.create_table("points", {"v": bb.Vector(2)})
    table.add_embedding_index("v")
    with pytest.raises(ExpressionError, match="cannot embed a string"):
        table.order_by(table.v.similarity("east"), asc=False).limit(1).collect()


@pytest.mark.parametrize("kind", [bb.String, bb.Image, bb.Document, bb.Audio, bb.Video])
def test_index_on_non_vector_column_needs_embedding(session, kind):
    table = bb.create_table("t", {"c": kind})
    with pytest.raises(ExpressionError, match="needs an embedding"):
        table.add_embedding_index("c")


@pytest.mark.parametrize(
    "kind", [bb.Int, bb.Float, bb.Bool, bb.Json, bb.Timestamp, bb.Array(bb.Float), bb.Binary]
)
def test_unsupported_column_type_cannot_be_indexed(session, embed, kind):
    table = bb.create_table("t", {"c": kind})
    for given in ({}, {"embedding": embed}, {"string_embed": embed}):
        with pytest.raises(ExpressionError, match=r"column 'c': a column of .* cannot"):
            table.add_embedding_index("c", **given)


def test_embedding_with_wrong_input_type_is_refused(session, embed):
    table = bb.create_table("t", {"c": bb.Int})
    table.insert(c=1)
    with pytest.raises(BarbuleError, match=r"'c'|embed"):
        table.add_embedding_index("c", embedding=embed)
    assert table.history()[0, "operation"] == "insert"


def test_index_is_selected_and_dropped_by_name(session, embed):
    table, _share = made(vectors_of(20))
    table.add_embedding_index("v", metric="l2", name="far")
    query = vectors_of(1, seed=1)[0]
    by_l2 = table.v.similarity(query, index="far")

    found = table.order_by(by_l2, asc=False).limit(3).collect()["n"]
    assert found == np.argsort(-scores(vectors_of(20), query, "l2"))[:3].tolist()
    with pytest.raises(ExpressionError, match="several embedding indexes"):
        table.order_by(table.v.similarity(query), asc=False).limit(1).collect()

    table.drop_embedding_index(name="far")
    assert top(table, query, 20)["n"][0] >= 0
    assert len(table.select("v").collect()) == 20


def test_duplicate_vectors_are_all_found(strategy):
    table = bb.create_table("points", {"n": bb.Int, "v": bb.Vector(2)})
    table.insert([{"n": n, "v": [1.0, 2.0]} for n in range(50)])
    table.add_embedding_index("v")
    settled()
    found = table.order_by(table.v.similarity([1.0, 2.0]), asc=False)
    assert len(set(found.limit(7).collect()["n"])) == 7
    assert len(found.limit(0).collect()) == 0
    assert len(set(found.limit(500).collect()["n"])) == 50


def test_embedding_column_is_hidden(session, embed):
    assert filled(embed, 3).columns == ("n", "text")


def test_vectors_on_disk_are_uncompressed(tmp_path):
    session = bb.connect(f"duckdb:///{tmp_path}/app.duckdb", vectors="exact:")
    rows = np.random.default_rng(0).normal(size=(3000, 64)).astype("float32")
    table = bb.create_table("points", {"n": bb.Int, "v": bb.Vector(64)})
    table.insert([{"n": n, "v": row} for n, row in enumerate(rows)])
    session._engine.backend.ibis.raw_sql("CHECKPOINT")
    name = session._engine.catalog.find("points").physical
    kinds = session._engine.backend.ibis.raw_sql(
        f"SELECT DISTINCT compression FROM pragma_storage_info('{name}') "
        "WHERE segment_type = 'FLOAT'"
    ).fetchall()
    assert kinds == [("Uncompressed",)]


def test_repeated_filtered_search_sees_changes(strategy):
    rows = vectors_of(60)
    table, share = made(rows)
    settled()
    query = vectors_of(1, seed=1)[0]
    order = [int(n) for n in np.argsort(-scores(rows, query, "cosine"))]
    kept = [n for n in order if share[n] < 0.5]

    def found():
        return top(table.where(table.share < 0.5), query, 5)["n"]

    assert found() == kept[:5]
    assert found() == kept[:5]
    table.update({"share": 0.9}, where=table.n == kept[0])
    assert found() == kept[1:6]
    table.delete(where=table.n == kept[1])
    assert found() == kept[2:7]
    table.update({"share": 0.1}, where=table.n == kept[0])
    assert found() == [kept[0], *kept[2:6]]
    table.insert([{"n": 99, "share": 0.2, "v": query.tolist()}])
    assert found() == [99, kept[0], *kept[2:5]]
    table.revert()
    assert found() == [kept[0], *kept[2:6]]


def test_filter_on_raw_table_or_random_is_never_cached(session):
    rows = vectors_of(300)
    table, _share = made(rows)
    query = vectors_of(1, seed=1)[0]
    order = [int(n) for n in np.argsort(-scores(rows, query, "cosine"))]
    raw = session.ibis.create_table("raw", pa.table({"k": order[5:9]}))
    among = table.where(table.n.isin(raw.k))
    assert top(among, query, 2)["n"] == order[5:7]
    session.ibis.insert("raw", pa.table({"k": order[:1]}))
    assert top(among, query, 2)["n"] == [order[0], order[5]]

    some = table.where(ibis.random() < 0.5)
    found = [tuple(top(some, query, 5)["n"]) for _turn in range(12)]
    assert len(set(found)) > 1


def test_cached_plan_of_old_version_serves_other_queries(session):
    rows = vectors_of(40)
    table, _share = made(rows)
    table.checkpoint("old")
    table.delete(where=table.n < 20)
    old = table.at("old")
    for seed in (1, 2, 3):
        query = vectors_of(1, seed=seed)[0]
        order = np.argsort(-scores(rows, query, "cosine"))[:5]
        assert top(old, query, 5)["n"] == order.tolist()
        kept = [n for n in np.argsort(-scores(rows, query, "cosine")) if n >= 20][:5]
        assert top(table, query, 5)["n"] == kept


@pytest.mark.parametrize("form", ["records", "pandas", "Arrow"])
def test_vector_with_missing_item_is_refused(session, form):
    table = session.create_table("t", {"v": bb.Vector(2)})
    rows = [{"v": [1.0, 2.0]}, {"v": None}, {"v": [1.0, None]}]
    if form == "pandas":
        rows = pytest.importorskip("pandas").DataFrame(rows)
    elif form == "Arrow":
        rows = pa.table({"v": pa.array([row["v"] for row in rows], pa.list_(pa.float32(), 2))})
    with pytest.raises(DataError, match=r"row 2: .* item 1 is NULL"):
        table.insert(rows)
    assert table.count().to_pyarrow().as_py() == 0
    table.insert([{"v": [1.0, 2.0]}])
    with pytest.raises(DataError, match="item 0 is NULL"):
        table.update({"v": [None, 1.0]})
    with pytest.raises(bb.BarbuleError, match=r'add_embedding_index\("v"\)'):
        table.order_by(table.v.similarity([1.0, 0.0])).collect()


def test_embedding_with_missing_item_raises(session):
    @bb.udf
    def lacking(text: str) -> bb.Vector(2):
        return [1.0, None]

    table = session.create_table("t", [{"text": "a"}])
    with pytest.raises(bb.BarbuleError, match="item 1 is NULL"):
        table.add_embedding_index("text", embedding=lacking)
