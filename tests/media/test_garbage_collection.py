"""Garbage collection of the media store: files are deleted once nothing refers to them."""

from __future__ import annotations

import datetime
import io
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from PIL import Image

import barbule as bb
from barbule.errors import BarbuleError, MediaError, UnsupportedError
from barbule.tables.transaction.media_references import delete_unreferenced, referenced_media
from patience import PATIENCE

NONE = datetime.timedelta(0)


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), shade).save(buffer, "PNG")
    return buffer.getvalue()


def engine_of(table):
    return table.op().source


def stored(session) -> set[str]:
    store = session._engine.library.store
    return {f"media:{stored_object.name}" for stored_object in store.objects()}


def references(table, column="img") -> list[str]:
    return table.select(u=table[column].cast("string")).collect()["u"]


@pytest.fixture
def pictures(session):
    table = bb.create_table("pictures", {"n": bb.Int, "img": bb.Image})
    table.insert([{"n": n, "img": png(n)} for n in range(3)])
    return table


def collect(**options) -> int:
    return bb.collect_media(**{"grace": NONE, **options}).files


def test_referenced_files_are_kept(session, pictures):
    before = stored(session)
    assert len(before) == 3
    assert collect() == 0
    assert stored(session) == before == referenced_media(engine_of(pictures))


def test_deleted_rows_keep_media_until_compaction(session, pictures):
    first = references(pictures.filter(pictures.n == 0))[0]
    pictures.delete(where=pictures.n == 0)
    assert collect() == 0
    assert pictures.at(1).count().to_pyarrow().as_py() == 3
    pictures.compact()
    assert collect(dry_run=True) == 1
    assert first in stored(session)
    assert collect() == 1
    assert first not in stored(session)
    assert [image.size for image in pictures.collect()["img"]] == [(4, 4)] * 2


@pytest.mark.parametrize("kind", ["label", "snapshot", "branch"])
def test_labels_snapshots_and_branches_keep_media(session, pictures, kind):
    {
        "label": lambda: pictures.checkpoint("kept"),
        "snapshot": lambda: bb.snapshot("kept"),
        "branch": lambda: pictures.branch("kept"),
    }[kind]()
    pictures.delete()
    pictures.compact()
    assert collect() == 0
    opened = {
        "label": lambda: pictures.at("kept"),
        "snapshot": lambda: bb.at("kept").get_table("pictures"),
        "branch": lambda: bb.get_table("kept"),
    }[kind]()
    assert len([image.load() for image in opened.collect()["img"]]) == 3


def test_snapshot_keeps_media_of_a_dropped_table(session, pictures):
    bb.snapshot("before")
    bb.drop_table("pictures")
    assert collect() == 0
    bb.drop_snapshot("before")
    assert collect() == 3
    assert stored(session) == set()


def test_dropped_table_releases_media(session, pictures):
    bb.drop_table("pictures")
    assert collect() == 3


def test_computed_nested_and_text_references_keep_media(session, pictures):
    @bb.udf(cache=False)
    def halves(img: bb.Image) -> list[bb.Image]:
        return [img.crop((0, 0, 2, 4)), img.resize((2, 2))]

    pictures.add_computed_column(small=pictures.img.resize((2, 2)), parts=halves(pictures.img))
    notes = bb.create_table("notes", {"text": bb.String, "data": bb.Json})
    loose = png(200)
    store = session._engine.library.store
    in_text, in_json = store.put(loose, "png"), store.put(png(201), "png")
    notes.insert(text=f"see {in_text}.", data={"at": [in_json]})
    before = stored(session)
    assert collect() == 0
    bb.drop_table("notes")
    assert collect() == 2
    pictures.drop_column("parts")
    pictures.drop_column("small")
    pictures.compact()
    assert collect() == len(before) - 5
    assert stored(session) == set(references(pictures))


def test_ledger_answers_and_defaults_keep_media(session, pictures):
    @bb.udf(cache=True)
    def tinted(img: bb.Image) -> bb.Image:
        return img.convert("RGB")

    pictures.add_computed_column(rgb=tinted(pictures.img))
    default_references = set(references(pictures, "rgb"))
    pictures.drop_column("rgb")
    pictures.compact()
    assert collect() == 0
    assert default_references <= stored(session)
    bb.evict_calls(older_than=NONE)
    assert collect() == 3

    placed = bb.create_table("placed", {"n": bb.Int, "img": bb.Image}, defaults={"img": png(77)})
    collect()
    placed.insert(n=1)
    assert placed.collect()[0, "img"].getpixel((0, 0)) == 77


def test_frame_references_keep_their_video(session, tmp_path):
    from barbule.media.storage.references import stored_references

    reference = "media:" + "a" * 64 + ".mp4"
    assert list(stored_references(f"frame:3:{reference}")) == [reference]
    assert list(stored_references(f'["{reference}", "{reference}"]')) == [reference] * 2


def test_grace_period_keeps_new_files(session):
    session._engine.library.store.put(b"somebody is about to commit this", "txt")
    assert bb.collect_media().files == 0
    assert bb.collect_media().kept == 1
    assert collect() == 1


def test_storing_again_renews_the_grace_period(session):
    store = session._engine.library.store
    reference = store.put(b"old", "txt")
    os.utime(store.local_path(reference), (1, 1))
    store.put(b"old", "txt")
    assert bb.collect_media().files == 0


def test_unfinished_file_of_a_crash_is_removed(session, pictures):
    store = session._engine.library.store
    path = store.local_path(references(pictures)[0])
    left = path.with_name(f".{path.name}.abcdef")
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    assert bb.collect_media().files == 1
    assert not left.exists()


def test_shared_store_is_not_collected_by_default(tmp_path):
    media = str(tmp_path / "shared")
    with bb.connect(f"duckdb:///{tmp_path}/a.duckdb", media=media, vectors="exact:"):
        bb.create_table("t", {"img": bb.Image}).insert(img=png(1))
    bb.connect(f"duckdb:///{tmp_path}/b.duckdb", media=media, vectors="exact:")
    with pytest.raises(UnsupportedError, match=r"other databases .*a\.duckdb.*shared=True"):
        bb.collect_media(grace=NONE)
    assert collect(shared=True) == 1


def test_negative_grace_period_is_rejected(session):
    with pytest.raises(MediaError, match="must be a duration"):
        bb.collect_media(grace=datetime.timedelta(hours=-1))


def test_delete_unreferenced_keeps_files_of_other_rows(session, pictures):
    cells = references(pictures)
    pictures.insert(n=9, img=png(0))  # another row with equal content
    pictures.delete(where=pictures.n < 2)
    pictures.compact()
    assert (
        delete_unreferenced(engine_of(pictures), [*cells[:2], "https://example.com/a.png", None])
        == 1
    )
    assert stored(session) == {cells[0], cells[2]}


# -- Failures leave no files -----------------------------------------------------------------------


def test_failed_insert_leaves_no_files(session, pictures):
    before = stored(session)
    with pytest.raises(MediaError, match=r"table 'pictures', column 'img', row 2: "):
        pictures.insert([{"n": 5, "img": png(50)}, {"n": 0, "img": png(0)}, {"n": 6, "img": b"no"}])
    assert stored(session) == before


def test_later_failure_leaves_no_files(session, pictures):
    @bb.udf(cache=False)
    def strict(n: int) -> int:
        if n > 10:
            raise ValueError(n)
        return n

    pictures.add_computed_column(small=pictures.img.resize((2, 2)))
    pictures.add_computed_column(checked=strict(pictures.n))
    before = stored(session)
    with pytest.raises(BarbuleError, match="strict failed"):
        pictures.insert(n=11, img=png(111))
    assert stored(session) == before
    with pytest.raises(BarbuleError, match="strict failed"):
        pictures.update({"img": png(112), "n": 12}, where=pictures.n == 1)
    assert stored(session) == before
    with pytest.raises(BarbuleError, match="strict failed"):
        pictures.upsert([{"n": 13, "img": png(113)}], on="n")
    assert stored(session) == before


def test_failed_table_leaves_no_files(session):
    rows = [{"img": Image.new("L", (3, 3)), "n": 1}, {"img": Image.new("L", (4, 4)), "n": 2}]
    with pytest.raises(BarbuleError, match="row 1"):
        bb.create_table("t", {"img": bb.Image, "n": bb.Int(nullable=False)}).insert(
            [rows[0], {"img": rows[1]["img"]}]
        )
    table = bb.create_table("t", {"img": bb.Image}, if_exists="replace")
    with pytest.raises(BarbuleError, match="row 1"):
        table.insert([{"img": png(3)}, {"img": "/none/of/it.png"}])
    assert stored(session) == set()


def test_files_of_another_operation_are_kept(session, pictures):
    reached, go_on = threading.Event(), threading.Event()

    def slow_rows():
        yield {"n": 20, "img": png(99)}
        reached.set()
        go_on.wait(PATIENCE)
        yield {"n": 21, "img": b"no picture"}

    failed = []

    def failing():
        try:
            pictures.insert(row for row in slow_rows())
        except MediaError as error:
            failed.append(error)

    other = bb.create_table("other", {"img": bb.Image})
    thread = threading.Thread(target=failing)
    thread.start()
    reached.wait(PATIENCE)
    other.insert(img=png(99))
    go_on.set()
    thread.join()
    assert failed
    assert other.collect()[0, "img"].getpixel((0, 0)) == 99


def test_paid_answers_survive_a_failed_insert(session, pictures):
    calls = []

    @bb.udf(cache=True)
    def dear(img: bb.Image) -> bb.Image:
        calls.append(1)
        return img.convert("RGB")

    @bb.udf(cache=False)
    def strict(n: int) -> int:
        raise ValueError(n)

    other = bb.create_table("other", {"n": bb.Int, "img": bb.Image})
    other.add_computed_column(rgb=dear(other.img))
    other.add_computed_column(checked=strict(other.n))
    with pytest.raises(BarbuleError, match="strict failed"):
        other.insert(n=1, img=png(42))
    other.drop_column("checked")
    other.insert(n=1, img=png(42))
    assert len(calls) == 1
    assert other.collect()[0, "rgb"].mode == "RGB"


def test_killed_collection_loses_no_referenced_file(tmp_path):
    program = textwrap.dedent(
        """
        import datetime, os, sys
        import barbule as bb
        from barbule.media.storage.media_store import MediaStore
        bb.connect("duckdb:///" + sys.argv[1] + "/a.duckdb", media=sys.argv[1] + "/media",
                   vectors="exact:")
        delete, left = MediaStore.delete, [5]
        def dying(self, *args, **kwargs):
            left[0] -= 1
            if not left[0]:
                os._exit(9)
            return delete(self, *args, **kwargs)
        MediaStore.delete = dying
        bb.collect_media(grace=datetime.timedelta(0))
        """
    )
    session = bb.connect(
        f"duckdb:///{tmp_path}/a.duckdb", media=str(tmp_path / "media"), vectors="exact:"
    )
    table = bb.create_table("t", {"n": bb.Int, "img": bb.Image})
    table.insert([{"n": n, "img": png(n)} for n in range(30)])
    table.delete(where=table.n >= 10)
    table.compact()
    session.close()
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == 9

    session = bb.connect(
        f"duckdb:///{tmp_path}/a.duckdb", media=str(tmp_path / "media"), vectors="exact:"
    )
    left = len(stored(session))
    assert left == 26
    assert collect() == 16
    assert len([image.load() for image in bb.get_table("t").collect()["img"]]) == 10
    assert not list(Path(tmp_path).rglob(".*.png.*"))
