"""Read-only databases: queries run, and each write raises an error."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import PIL.Image
import pytest

import barbule as bb

BEGIN = """
    import sys
    import barbule as bb

    if sys.platform == "linux":  # drops administrator rights, if any
        import ctypes, os
        if len(sys.argv) == 2:
            for right in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: dropped for what is run
                ctypes.CDLL(None).prctl(24, right, 0, 0, 0)
            os.execv(sys.executable, [sys.executable, "-c", sys.stdin.read(), sys.argv[1], "again"])
"""
READING = """
    bb.connect(sys.argv[1], vectors="exact:")
    table = bb.get_table("t")
    print(table.collect()["b"], bb.get_table("v").count().execute(), table.at(0).count().execute())

    @bb.udf
    def shout(a: int) -> str:
        return f"{a}X"

    print(table.select(c=shout(table.a)).collect()["c"])

    @bb.udf(cache=True, version="1", name="turned_read_only")
    def vector_of(text: str) -> bb.Vector(2):
        return [1.0, float(len(text))]

    texts = bb.get_table("texts")
    best = texts.order_by(texts.text.similarity("not asked before"), asc=False).limit(1)
    print(best.collect()["text"], best.collect()["text"])
    for write in (
        lambda: table.insert(a=4),
        lambda: table.update({"a": 1}),
        lambda: bb.create_table("u", {"a": bb.Int}),
        lambda: bb.drop_table("v"),
        lambda: table.checkpoint("x"),
    ):
        try:
            write()
        except bb.errors.ConfigurationError as error:
            print(error.message)
    print(table.collect()["a"])
    bb.connect(sys.argv[1]).close()
"""


@bb.udf(cache=True, version="1", name="turned_read_only")
def vector_of(text: str) -> bb.Vector(2):
    return [1.0, float(len(text))]


@pytest.mark.skipif(sys.platform != "linux", reason="an administrator may write all the same")
@pytest.mark.parametrize("folder_too", [True, False], ids=["folder", "file"])
def test_read_only_database_can_be_queried(tmp_path, folder_too):
    folder = tmp_path / "data"
    folder.mkdir()
    url = f"duckdb:///{folder}/app.duckdb"
    with bb.connect(url, vectors="exact:"):
        table = bb.create_table("t", {"a": bb.Int})
        table.insert([{"a": 1}, {"a": 2}])
        table.add_computed_column(b=table.a * 2)
        bb.create_view("v", table.filter(table.a > 1))
        texts = bb.create_table("texts", [{"text": "a"}, {"text": "a longer one"}])
        texts.add_embedding_index("text", embedding=vector_of)
    (folder / "app.duckdb").chmod(0o444)
    folder.chmod(0o555 if folder_too else 0o755)
    done = without_rights(READING, url, tmp_path)
    folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "[2, 4] 1 0"
    assert lines[1] == "['1X', '2X']"
    assert lines[2] == "['a longer one'] ['a longer one']"
    assert len(lines) == 9
    assert all("app.duckdb' is read-only" in line for line in lines[3:8])
    assert lines[8] == "[1, 2]"


def without_rights(program, url, folder):
    program = textwrap.dedent(BEGIN) + textwrap.dedent(program)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, url],
        input=program,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )


WRITING = """
    import logging
    import pathlib
    import warnings

    import pandas
    import PIL.Image
    import pyarrow as pa

    logging.basicConfig()
    s = bb.connect(sys.argv[1], vectors="exact:", media="media")
    t = bb.get_table("t")
    images = [PIL.Image.new("L", (n, 9)) for n in range(10, 20)]
    asked = []

    @bb.udf(version="1")
    def counted(a: int) -> int:
        asked.append(a)
        return a

    @bb.udf(version="1")
    def embedded(text: str) -> bb.Vector(2):
        asked.append(text)
        return [1.0, 2.0]

    writes = {
        "insert": lambda: t.insert(a=4),
        "insert many": lambda: t.insert([{"a": n} for n in range(100)]),
        "insert pandas": lambda: t.insert(pandas.DataFrame({"a": range(50)})),
        "insert arrow": lambda: t.insert(pa.table({"a": range(200_000)})),
        "insert query": lambda: t.insert(t.select("a")),
        "insert image": lambda: t.insert(a=1, img=images[0]),
        "insert known image": lambda: t.insert(a=1, img=PIL.Image.new("L", (3, 3))),
        "update": lambda: t.update({"a": 1}),
        "update where": lambda: t.update({"a": 1}, where=t.a == 1),
        "update computed": lambda: t.update({"a": counted(t.a)}),
        "batch_update": lambda: t.batch_update([{"a": 1, "img": images[2]}], on="a"),
        "upsert": lambda: t.upsert([{"a": 1, "img": images[3]}], on="a"),
        "delete": lambda: t.delete(t.a == 1),
        "delete purge": lambda: t.delete(t.a == 1, purge=True),
        "add_columns": lambda: t.add_columns({"more": bb.Int}),
        "add_computed_column": lambda: t.add_computed_column(c=t.a + 1),
        "add_computed_column udf": lambda: t.add_computed_column(c=counted(t.a)),
        "add_embedding_index": lambda: t.add_embedding_index("text", string_embed=embedded),
        "drop_embedding_index": lambda: t.drop_embedding_index("place"),
        "change_type": lambda: t.change_type("a", "float64"),
        "drop_column": lambda: t.drop_column("b"),
        "rename_column": lambda: t.rename_column("img", "pic"),
        "checkpoint": lambda: t.checkpoint("x"),
        "drop_checkpoint": lambda: t.drop_checkpoint("first"),
        "compact": lambda: t.compact(),
        "branch": lambda: t.branch("mine"),
        "recompute": lambda: t.recompute("w"),
        "revert": lambda: t.revert(),
        "set_budget": lambda: t.set_budget(calls=1),
        "create_table": lambda: bb.create_table("u", {"a": bb.Int}),
        "create_table rows": lambda: bb.create_table("u", [{"a": 1, "img": images[4]}]),
        "create_view": lambda: bb.create_view("w", t.filter(t.a < 5)),
        "drop_table": lambda: bb.drop_table("v"),
        "drop_dir": lambda: bb.drop_dir("folder", cascade=True),
        "snapshot": lambda: bb.snapshot("x"),
        "drop_snapshot": lambda: bb.drop_snapshot("r"),
        "evict_calls": lambda: bb.evict_calls(max_bytes=0),
    }
    for name, write in writes.items():
        try:
            print(name, "wrote", write())
        except bb.errors.ConfigurationError as error:
            if "app.duckdb' is read-only" not in error.message:
                print(name, error)
        except Exception as error:
            print(name, type(error), error)
    assert bb.create_table("t", {"a": bb.Int}, if_exists="ignore").count().execute() == 2
    assert bb.drop_table("none", if_not_exists="ignore") is None
    assert bb.check().ok
    print(len(writes), asked, len(list(pathlib.Path("media").glob("*/*.png"))))
    s.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="an administrator may write all the same")
def test_write_methods_report_a_read_only_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    url = f"duckdb:///{folder}/app.duckdb"
    with bb.connect(url, vectors="exact:", media="media"):
        kinds = {"a": bb.Int, "text": bb.String, "img": bb.Image, "place": bb.Vector(2)}
        table = bb.create_table("t", kinds)
        table.insert(a=1, text="a", img=PIL.Image.new("L", (3, 3)), place=[1.0, 0.0])
        table.add_computed_column(b=table.a * 2, w=table.img.width())
        table.add_embedding_index("place")
        table.checkpoint("first")
        table.insert(a=2)
        table.select(v=vector_of(table.text)).collect()  # stored in the ledger
        bb.create_view("v", table.filter(table.a > 1))
        bb.create_table("folder.other", {"a": bb.Int})
        bb.snapshot("r")
    (folder / "app.duckdb").chmod(0o444)
    done = without_rights(WRITING, url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["37 [] 1"], done.stdout
    assert done.stderr == ""
