"""A purge removes rows with their derived data, and keeps data that other rows use."""

from __future__ import annotations

import datetime
import io
from pathlib import Path

import PIL.Image
import pytest

import barbule as bb
from barbule.errors import UnsupportedError, VersionError


@bb.udf(cache=True)
def shout(text: str) -> str:
    return text.upper()


@bb.udf(cache=True)
def darker(image: bb.Image) -> bb.Image:
    return image.point(lambda value: value // 2)


@bb.udf(batch_size=8)
def embed(texts: list[str]) -> list[bb.Vector(2)]:
    return [[float(len(text)), 1.0] for text in texts]


@bb.iterator(return_type={"word": str})
def split(text: str):
    for word in text.split():
        yield {"word": word}


def picture(color: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("L", (4, 4), color).save(buffer, "PNG")
    return buffer.getvalue()


def everything(session) -> str:
    """Return the content of all tables of rows and calls, as text."""
    engine = session._engine
    with engine.backend.use():
        names = [n for n in engine.backend.tables() if n.startswith(("bb_rows_", "bb_calls"))]
        return str([engine.backend.ibis.table(name).to_pyarrow().to_pylist() for name in names])


def stored(session) -> set[str]:
    return {media_object.name for media_object in session._engine.library.store.objects()}


@pytest.fixture
def people(session):
    table = bb.create_table("people", {"name": bb.String, "note": bb.String})
    table.insert([{"name": "ada", "note": "secret plum"}, {"name": "alan", "note": "secret pear"}])
    table.add_computed_column(loud=shout(table.note), stored_name=shout(table.name))
    return table


def test_purge_removes_versions_answers_and_view_rows(session, people):
    words = bb.create_view("words", people, iterator=split(people.note))
    words.add_computed_column(big=shout(words.word))
    people.update({"note": "hidden three"}, where=people.name == "ada")
    people.checkpoint("labelled")
    assert bb.calls().count().to_pyarrow().as_py() == 10  # of notes 3, names 2, words 5
    done = people.delete(where=people.name == "ada", purge=True)
    assert (done.rows, done.rows_kept, done.branches) == (1, 0, ())
    assert done.states == 2 + 4
    # "SECRET" is a word of the other's note too.
    assert (done.answers, done.answers_kept) == (6, 1)
    left = everything(session).lower()
    assert "ada" not in left
    assert "plum" not in left
    assert "hidden" not in left
    assert "secret" in left
    assert people.collect()["name"] == ["alan"]
    assert people.at("labelled").collect()["name"] == ["alan"]
    assert people.at(1).collect()["name"] == ["alan"]
    assert sorted(words.collect()["big"]) == ["PEAR", "SECRET"]
    operations = people.history()["operation"]
    assert operations[:2] == ["purge", "delete"]


@pytest.mark.parametrize(
    "step", ["_end_live_rows", "forget", "_remove_states", "delete_unreferenced"]
)
def test_interrupted_purge_can_be_repeated(session, monkeypatch, step):
    """Fail at a step, as a crash does, and purge again."""
    from barbule.tables.verbs.rows import purge

    table = bb.create_table("pictures", {"n": bb.Int, "img": bb.Image})
    table.insert([{"n": n, "img": picture(40 * n)} for n in (1, 2)])
    table.add_computed_column(dark=darker(table.img))

    def fail(*_args):
        raise RuntimeError("no power")

    with monkeypatch.context() as patch:
        patch.setattr(session._engine.ledger if step == "forget" else purge, step, fail)
        with pytest.raises(RuntimeError, match="no power"):
            table.delete(where=table.n == 1, purge=True)
    table.delete(where=table.n == 1, purge=True)
    bb.collect_media(grace=datetime.timedelta(0))
    assert bb.calls().count().to_pyarrow().as_py() == 1
    assert len(stored(session)) == 2  # of the other row
    assert table.n.to_pyarrow().to_pylist() == [2]
    table.delete(purge=True)
    assert not stored(session)


def test_purge_finds_deleted_row_by_any_old_state(session, people):
    people.update({"name": "countess"}, where=people.name == "ada")
    people.delete(where=people.name == "countess")
    done = people.delete(where=people.name == "ada", purge=True)
    assert (done.rows, done.states) == (1, 2)
    assert "countess" not in everything(session)
    again = people.delete(where=people.name == "ada", purge=True)
    assert (again.rows, again.states) == (0, 0)
    assert people.count().to_pyarrow().as_py() == 1


def test_purge_keeps_answers_used_by_other_tables(session, people):
    other = bb.create_table("other", [{"word": "secret plum"}])
    other.add_computed_column(loud=shout(other.word))
    assert bb.calls().count().to_pyarrow().as_py() == 4
    done = people.delete(where=people.name == "ada", purge=True)
    assert (done.answers, done.answers_kept) == (1, 1)
    calls = bb.calls().count().to_pyarrow().as_py()
    other.recompute("loud")
    assert bb.calls().count().to_pyarrow().as_py() == calls == 3
    # After the purge of the other row, nothing uses it.
    assert other.delete(purge=True).answers == 1


def test_purge_removes_answers_of_older_function_versions(session):
    def define(end):
        scope: dict = {}
        exec(f"def mark(text):\n    return text + {end!r}", scope)
        return bb.udf(scope["mark"], name="mine.mark", return_type=str, cache=True)

    table = bb.create_table("t", [{"w": "a"}, {"w": "b"}])
    table.add_computed_column(x=define("!")(table.w))
    define("?")
    table.recompute(where="stale")
    assert bb.calls().count().to_pyarrow().as_py() == 4
    assert table.delete(where=table.w == "a", purge=True).answers == 2


def test_purge_removes_unreferenced_media(session):
    table = bb.create_table("images", {"n": bb.Int, "img": bb.Image})
    Path("given.png").write_bytes(picture(9))
    table.insert(
        [
            {"n": 1, "img": picture(100)},
            {"n": 2, "img": picture(100)},
            {"n": 3, "img": picture(200)},
            {"n": 4, "img": "given.png"},
        ]
    )
    table.add_computed_column(dark=darker(table.img))
    assert len(stored(session)) == 2 + 3
    done = table.delete(where=table.n == 1, purge=True)
    assert (done.media, done.media_kept, done.answers, done.answers_kept) == (0, 2, 0, 1)
    done = table.delete(where=table.n == 3, purge=True)
    assert (done.media, done.media_kept, done.answers) == (2, 0, 1)
    assert len(stored(session)) == 3
    assert table.order_by("n").collect()[0, "dark"].getpixel((0, 0)) == 50
    done = table.delete(where=table.n == 4, purge=True)
    assert done.media == 1
    assert Path("given.png").exists()


def test_purge_removes_vectors_from_index(chroma_session):
    table = bb.create_table("t", [{"w": "a"}, {"w": "bbb"}, {"w": "cccccc"}])
    table.add_embedding_index("w", embedding=embed, metric="l2")
    engine = chroma_session._engine
    engine.indexing.wait({table.op().table_id})
    table.delete(where=table.w == "a", purge=True)
    record = engine.catalog.record(table.op().table_id)
    assert engine.indexing.usable(record, record.indexes[0]).count() == 2
    rows = table.order_by(table.w.similarity("a"), asc=False).limit(2).collect()["w"]
    assert rows == ["bbb", "cccccc"]


def test_purge_removes_history_of_full_refresh_views(session, people):
    sizes = people.group_by("name").agg(n=people.note.length().sum())
    view = bb.create_view("sizes", sizes)
    people.insert(name="eve", note="x")
    done = people.delete(where=people.name == "ada", purge=True)
    assert sorted(view.collect()["name"]) == ["alan", "eve"]
    assert "ada" not in everything(session)
    with pytest.raises(VersionError, match=r"dropped|compact|history"):
        view.at(1).collect()
    assert done.rows == 1


def test_purge_keeps_rows_that_a_branch_reads(session, people):
    branch = people.branch("other")
    done = people.delete(where=people.name == "ada", purge=True)
    assert (done.rows, done.states, done.rows_kept, done.branches) == (0, 0, 1, ("other",))
    assert people.collect()["name"] == ["alan"]
    assert sorted(branch.collect()["name"]) == ["ada", "alan"]
    assert branch.delete(where=branch.name == "ada", purge=True).rows == 1
    assert branch.collect()["name"] == ["alan"]
    assert branch.at(0).collect()["name"] == ["alan"]
    done = people.delete(where=people.name == "ada", purge=True)
    assert (done.rows, done.rows_kept) == (1, 0)
    assert "ada" not in everything(session).lower()


def test_purge_of_all_rows_without_calls(session):
    table = bb.create_table("t", [{"a": 1}, {"a": 2}])
    done = table.delete(purge=True)
    assert (done.rows, done.states, done.answers, done.media) == (2, 2, 0, 0)
    table.insert(a=3)
    assert table.collect() == [{"a": 3}]


def test_purge_removes_cell_errors(session):
    @bb.udf(cache=True, on_error="null")
    def picky(text: str) -> str:
        raise ValueError(f"no {text}")

    table = bb.create_table("t", [{"w": "private"}, {"w": "b"}])
    table.add_computed_column(x=picky(table.w))
    assert "private" in everything(session)
    table.delete(where=table.w == "private", purge=True)
    assert "private" not in everything(session)


def test_purge_of_view_or_old_version_is_refused(session, people):
    view = bb.create_view("all_of_them", people)
    with pytest.raises(UnsupportedError, match="the rows of a view follow those of its base"):
        view.delete(purge=True)
    with pytest.raises(UnsupportedError, match="this is an old version"):
        people.at(1).delete(purge=True)
