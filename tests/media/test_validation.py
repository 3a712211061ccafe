"""Validation of media on write or on read, and handling of bad files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

import barbule as bb
from barbule.errors import BarbuleError, ConfigurationError, DataError, MediaError, SchemaError
from fakes.web import serving


def png(shade=1):
    buffer = io.BytesIO()
    Image.new("L", (4, 4), shade).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def files(tmp_path):
    (tmp_path / "good.png").write_bytes(png())
    (tmp_path / "zero.png").write_bytes(b"")
    (tmp_path / "text.png").write_bytes(b"no picture")
    (tmp_path / "cut.png").write_bytes(png()[:50])
    return tmp_path


BAD = ["zero.png", "text.png", "cut.png", "none.png"]


# -- on_error --------------------------------------------------------------------------------------


def test_bad_files_under_on_error_null_leave_cell_errors(session, files):
    table = bb.create_table("t", {"n": bb.Int, "img": bb.Image})
    table.add_computed_column(w=table.img.width())
    rows = [{"n": n, "img": files / name} for n, name in enumerate(["good.png", *BAD])]
    done = table.insert(rows, on_error="null")
    assert (done.rows, done.errors) == (5, 4)
    result = table.order_by("n").select("n", "w", why=table.img.error).collect()
    assert result["w"] == [4, None, None, None, None]
    assert result["why"][0] is None
    for reason, name in zip(result["why"][1:], BAD, strict=True):
        assert reason["type"] == "MediaError"
        assert name in reason["message"]
    listed = table.errors().order_by("row").collect()
    assert listed["column"] == ["img"] * 4
    with pytest.raises(MediaError, match=r"table 't', column 'img', row 1: .*zero\.png is empty"):
        table.insert(rows)


def test_bad_bytes_and_values_leave_cell_errors(session):
    table = bb.create_table("t", {"n": bb.Int, "img": bb.Image})
    before = list(session._engine.library.store.objects())
    rows = [{"n": 1, "img": b"no"}, {"n": 2, "img": png()}, {"n": 3, "img": 5}]
    table.insert(rows, on_error="null")
    result = table.order_by("n").collect()
    assert [image is None for image in result["img"]] == [True, False, True]
    reasons = table.order_by("n").select(e=table.img.error).collect()["e"]
    assert "not an image" in reasons[0]["message"]
    assert "got int, not an image" in reasons[2]["message"]
    assert len(list(session._engine.library.store.objects())) == len(before) + 1


def test_valid_value_clears_the_cell_error(session, files):
    table = bb.create_table("t", {"n": bb.Int, "img": bb.Image})
    table.insert([{"n": n, "img": files / "zero.png"} for n in range(4)], on_error="null")
    table.update({"img": str(files / "good.png")}, where=table.n == 0)
    table.upsert([{"n": 1, "img": files / "good.png"}], on="n")
    table.update({"n": 20}, where=table.n == 2)
    rows = table.order_by("n").select("n", e=table.img.error).collect()
    assert [error is None for error in rows["e"]] == [True, True, False, False]
    assert table.at(1).errors().count().to_pyarrow().as_py() == 4


def test_failing_hosts_leave_cell_errors_or_abort_the_insert(tmp_path):
    def answer(path):
        return (200, "image/png", png()) if path == "/a.png" else (404, "text/plain", b"no")

    Path("barbule.toml").write_text("[media]\nallow_private = true\ntimeout = 60\n")
    bb.connect(vectors="exact:")
    table = bb.create_table("t", {"n": bb.Int, "img": bb.Image})
    with serving(answer) as url:
        urls = [f"{url}/a.png", f"{url}/none.png", "http://127.0.0.1:9/x.png", f"{url}/none.png"]
        rows = [{"n": n, "img": url} for n, url in enumerate(urls)]
        assert table.insert(rows, on_error="null").errors == 3
        reasons = table.order_by("n").select(e=table.img.error).collect()["e"]
        assert "404" in reasons[1]["message"]
        assert "unreachable" in reasons[2]["message"]
        with pytest.raises(MediaError, match=r"column 'img', row 1: .*none\.png.* 404"):
            table.insert(rows)
    assert table.count().to_pyarrow().as_py() == 4


def test_on_error_null_does_not_apply_to_other_errors(session, files):
    table = bb.create_table("t", {"n": bb.Int, "img": bb.Image(nullable=False)})
    with pytest.raises(MediaError, match="row 0"):
        table.insert([{"n": 1, "img": files / "zero.png"}], on_error="null")
    other = bb.create_table("other", {"n": bb.Int, "img": bb.Image})
    with pytest.raises(DataError, match="column 'n', row 0"):
        other.insert([{"n": "x", "img": files / "zero.png"}], on_error="null")
    with pytest.raises(ConfigurationError, match="on_error must be one of 'abort', 'null'"):
        other.insert([{"n": 1}], on_error="ignore")


def test_column_named_on_error_takes_the_value(session):
    table = bb.create_table("t", {"n": bb.Int, "on_error": bb.String})
    table.insert(n=1, on_error="x")
    assert table.collect() == [{"n": 1, "on_error": "x"}]


@pytest.mark.parametrize("form", ["arrow", "pandas", "generator", "file"])
def test_on_error_null_applies_to_every_source(session, files, form):
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {"n": [0, 1], "img": [str(files / "good.png"), str(files / "cut.png")]}
    pq.write_table(pa.table(rows), files / "rows.parquet")
    source = {
        "arrow": lambda: pa.table(rows),
        "pandas": lambda: pd.DataFrame(rows),
        "generator": lambda: ({"n": n, "img": i} for n, i in zip(*rows.values(), strict=True)),
        "file": lambda: str(files / "rows.parquet"),
    }[form]()
    table = bb.create_table("t", {"n": bb.Int, "img": bb.Image})
    assert table.insert(source, on_error="null").errors == 1
    assert [image is None for image in table.order_by("n").collect()["img"]] == [False, True]


# -- media_validation ------------------------------------------------------------------------------


def test_validation_on_read_opens_no_file_on_write(session, files):
    table = bb.create_table("t", {"n": bb.Int, "img": bb.Image}, media_validation="on_read")
    rows = [{"n": n, "img": files / name} for n, name in enumerate(["good.png", *BAD])]
    assert table.insert(rows).errors == 0
    table.insert(n=9, img="http://127.0.0.1:9/never-asked.png")
    result = table.order_by("n").collect()
    assert result[0, "img"].size == (4, 4)
    with pytest.raises(MediaError, match=r"column 'img', row 1: .*zero\.png is empty"):
        result[1]
    with pytest.raises(MediaError, match=r"column 'img', row 4: .*none\.png does not exist"):
        result[4, "img"]
    with pytest.raises(MediaError, match=r"column 'img', row 1: .*zero\.png"):
        list(result)
    table.update({"img": str(files / "zero.png")}, where=table.n == 0)
    table.upsert([{"n": 0, "img": files / "none.png"}, {"n": 11, "img": "x.png"}], on="n")


def test_function_error_names_the_bad_file(session, files):
    @bb.udf(on_error="null", cache=False)
    def width(img: bb.Image) -> int:
        return img.width

    table = bb.create_table("t", {"n": bb.Int, "img": bb.Image}, media_validation="on_read")
    table.add_computed_column(w=width(table.img))
    rows = [{"n": n, "img": files / name} for n, name in enumerate(["good.png", *BAD])]
    assert table.insert(rows).errors == 4
    result = table.order_by("n").select("w", e=table.w.error).collect()
    assert result["w"] == [4, None, None, None, None]
    assert "none.png" in result["e"][4]["message"]


def test_validation_can_differ_by_column(session, files):
    kinds = {"a": bb.Image, "b": bb.Image}
    table = bb.create_table("t", kinds, media_validation={"b": "on_read"})
    table.insert(a=files / "good.png", b=files / "none.png")
    with pytest.raises(MediaError, match="column 'a'"):
        table.insert(a=files / "none.png", b=files / "good.png")
    session.close()
    bb.connect(session.settings.backend, vectors="exact:")
    again = bb.get_table("t")
    again.insert(a=files / "good.png", b=files / "none.png")
    again.rename_column("b", "c")
    again.insert(a=files / "good.png", c=files / "none.png")


def test_configuration_sets_the_default_validation(files):
    Path("barbule.toml").write_text('[media]\nvalidation = "on_read"\n')
    bb.connect(vectors="exact:")
    table = bb.create_table("t", {"img": bb.Image})
    table.insert(img=files / "none.png")
    table.add_columns({"more": bb.Image})
    table.insert(more=files / "none.png")
    strict = bb.create_table("strict", {"img": bb.Image}, media_validation="on_write")
    with pytest.raises(MediaError, match=r"none\.png does not exist"):
        strict.insert(img=files / "none.png")


def test_invalid_validation_options_are_rejected(session):
    with pytest.raises(ConfigurationError, match="must be 'on_write' or 'on_read'"):
        bb.create_table("t", {"img": bb.Image}, media_validation="never")
    with pytest.raises(
        SchemaError, match="column 'n': media_validation applies only to media columns"
    ):
        bb.create_table("t", {"img": bb.Image, "n": bb.Int}, media_validation={"n": "on_read"})
    Path("barbule.toml").write_text('[media]\nvalidation = "x"\n')
    with pytest.raises(BarbuleError, match=r'media\.validation must be "on_write" or "on_read"'):
        bb.connect()


# -- within lists and structs ----------------------------------------------------------------------


@pytest.mark.parametrize("bad", BAD)
def test_nested_media_are_validated(session, files, bad):
    pages = bb.Array(bb.Image)
    item = bb.Struct({"title": bb.String, "cover": bb.Image, "pages": pages})
    table = bb.create_table("t", {"n": bb.Int, "item": item})
    good, wrong = str(files / "good.png"), str(files / bad)
    table.insert([{"n": 0, "item": None}, {"n": 1, "item": {"title": "a", "pages": [good, None]}}])
    for item in ({"cover": wrong}, {"cover": good, "pages": [good, wrong]}):
        with pytest.raises(MediaError, match=rf"'t', column 'item', row 1: .*{bad}"):
            table.insert([{"n": 2, "item": {"cover": good}}, {"n": 3, "item": item}])
    assert table.count().execute() == 2
    later = bb.create_table("u", {"pages": pages}, media_validation={"pages": "on_read"})
    later.insert([{"pages": [wrong]}])
    assert later.count().execute() == 1
