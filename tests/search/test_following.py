"""Embedding indexes follow their table: at once, across sessions, after loss of files."""

from __future__ import annotations

import shutil

import pytest

import barbule as bb

from .conftest import filled, nearest, texts_of


def top(table, query, k=3):
    return table.order_by(table.text.similarity(query), asc=False).limit(k).collect()["text"]


def test_inserted_row_is_found_at_once(store, embed):
    chunks = filled(embed, 10)

    chunks.insert(n=10, text="query")

    assert top(chunks, "query") == ["query", *nearest(texts_of(10), "query", 2)]


def test_updated_row_is_found_by_new_text_only(store, embed):
    chunks = filled(embed, 10)

    chunks.update({"text": "query"}, where=chunks.n == 7)
    rest = [text for n, text in enumerate(texts_of(10)) if n != 7]

    assert top(chunks, "query") == ["query", *nearest(rest, "query", 2)]
    assert top(chunks, "text number 7") == nearest([*rest, "query"], "text number 7", 3)


def test_deleted_row_is_not_found(store, embed):
    chunks = filled(embed, 10)

    chunks.delete(where=chunks.n == 7)

    rest = [text for n, text in enumerate(texts_of(10)) if n != 7]
    assert top(chunks, "text number 7", 20) == nearest(rest, "text number 7", 20)


def test_an_update_of_another_column_embeds_nothing(session, embed):
    chunks = filled(embed, 10)
    embed.asked.clear()

    chunks.update({"n": 99}, where=chunks.n == 7)

    assert embed.asked == []
    assert top(chunks, "text number 7", 1) == ["text number 7"]


def test_index_survives_reconnect(store, embed):
    filled(embed, 10).insert(n=10, text="query")
    url = store.settings.vectors
    embed.asked.clear()

    bb.connect(vectors=url)
    chunks = bb.get_table("chunks")

    assert top(chunks, "query", 4) == nearest([*texts_of(10), "query"], "query", 4)
    chunks.delete(where=chunks.n == 10)
    assert top(chunks, "query", 4) == nearest(texts_of(10), "query", 4)
    assert set(embed.asked) <= {"query"}


@pytest.fixture
def chroma(tmp_path):
    return f"chroma://{tmp_path / 'chroma'}"


def test_deleted_index_directory_is_rebuilt(chroma, embed, tmp_path):
    session = bb.connect(vectors=chroma)
    filled(embed, 10)
    session.close()
    shutil.rmtree(tmp_path / "chroma")

    session = bb.connect(vectors=chroma)

    assert top(bb.get_table("chunks"), "query") == nearest(texts_of(10), "query", 3)
    session._engine.indexing.wait()
    assert (tmp_path / "chroma").is_dir()


def test_stale_index_catches_up(chroma, embed):
    bb.connect(vectors=chroma)
    filled(embed, 10)
    bb.connect(vectors="exact:")  # the directory gets none of the following changes
    chunks = bb.get_table("chunks")
    chunks.insert(n=10, text="query")
    chunks.delete(where=chunks.n == 3)
    chunks.update({"text": "other"}, where=chunks.n == 4)

    bb.connect(vectors=chroma)

    now = [text for n, text in enumerate(texts_of(10)) if n not in {3, 4}] + ["query", "other"]
    assert top(bb.get_table("chunks"), "query", 5) == nearest(now, "query", 5)
    assert top(bb.get_table("chunks"), "text number 3", 20) == nearest(now, "text number 3", 20)


def test_two_databases_over_one_directory_do_not_mix(chroma, embed, tmp_path):
    bb.connect(f"duckdb:///{tmp_path}/one.duckdb", vectors=chroma)
    filled(embed, 10)
    bb.connect(f"duckdb:///{tmp_path}/two.duckdb", vectors=chroma)
    other = bb.create_table("chunks", {"n": bb.Int, "text": bb.String})
    other.insert([{"n": n, "text": f"other {n}"} for n in range(10)])
    other.add_embedding_index("text", string_embed=embed)

    assert top(other, "query") == nearest([f"other {n}" for n in range(10)], "query", 3)
    bb.connect(f"duckdb:///{tmp_path}/one.duckdb", vectors=chroma)
    assert top(bb.get_table("chunks"), "query") == nearest(texts_of(10), "query", 3)


def test_restored_backup_is_not_searched_with_newer_vectors(chroma, embed, tmp_path):
    file = tmp_path / "app.duckdb"
    session = bb.connect(f"duckdb:///{file}", vectors=chroma)
    filled(embed, 10)
    session.close()
    shutil.copy(file, tmp_path / "backup.duckdb")
    session = bb.connect(f"duckdb:///{file}", vectors=chroma)
    chunks = bb.get_table("chunks")
    chunks.update({"text": "moved"})
    session.close()
    shutil.copy(tmp_path / "backup.duckdb", file)

    bb.connect(f"duckdb:///{file}", vectors=chroma)

    assert top(bb.get_table("chunks"), "query") == nearest(texts_of(10), "query", 3)


def test_second_session_on_owned_directory_finds_same_rows(chroma, embed):
    import barbule.session as sessions
    from barbule.config import load_settings

    owner = bb.connect(vectors=chroma)
    chunks = filled(embed, 10)
    expected = top(chunks, "query")

    other = sessions.Session(load_settings(backend="duckdb://", vectors=chroma))
    try:
        table = other.create_table("chunks", {"n": bb.Int, "text": bb.String})
        table.insert([{"n": n, "text": text} for n, text in enumerate(texts_of(10))])
        table.add_embedding_index("text", string_embed=embed)
        assert top(table, "query") == expected
    finally:
        other.close()
    assert top(owner.get_table("chunks"), "query") == expected


def test_dropping_the_table_drops_its_vectors(chroma, embed):
    bb.connect(vectors=chroma)
    filled(embed, 10)
    bb.drop_table("chunks")
    embed.asked.clear()

    again = filled(embed, 5)

    assert top(again, "query", 20) == nearest(texts_of(5), "query", 20)


def test_index_can_be_replaced_with_other_metric(store, embed):
    chunks = filled(embed, 10, name="main")
    chunks.add_embedding_index(
        "text", string_embed=embed, metric="l2", name="main", if_exists="replace"
    )

    assert top(chunks, "query") == nearest(texts_of(10), "query", 3, "l2")


def test_table_can_be_dropped_during_index_sync(chroma, embed):
    session = bb.connect(vectors=chroma)
    for _ in range(5):
        filled(embed, 200)
        bb.drop_table("chunks")  # the index is being filled in the background

    chunks = filled(embed, 5)

    session._engine.indexing.wait()
    assert session.check().ok
    assert top(chunks, "query") == nearest(texts_of(5), "query", 3)


def test_index_sync_error_is_reported_and_repaired(chroma, embed):
    session = bb.connect(vectors=chroma)
    chunks = filled(embed, 5)
    indexing = session._engine.indexing
    indexing.wait()
    rows, backend = session._engine.catalog.find("chunks").physical, session._engine.backend
    with backend.write_lock():
        backend.ibis.raw_sql(f"ALTER TABLE {rows} RENAME TO elsewhere")
    indexing.schedule({chunks.op().table_id})
    indexing.reset(
        session._engine.catalog.find("chunks"), session._engine.catalog.find("chunks").indexes[0]
    )
    indexing.wait({chunks.op().table_id})
    assert "does not exist" in indexing.errors[chunks.op().table_id]
    with backend.write_lock():
        backend.ibis.raw_sql(f"ALTER TABLE elsewhere RENAME TO {rows}")

    assert session.check().ok
    assert not indexing.errors
