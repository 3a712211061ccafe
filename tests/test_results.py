"""Results: rows as a sequence of dicts, conversions and display."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

import barbule as bb
from barbule.errors import (
    BarbuleError,
    ColumnNotFoundError,
    ExpressionError,
    FunctionError,
    MediaError,
)


@pytest.fixture
def films(session):
    table = bb.create_table("films", {"name": bb.String, "n": bb.Int, "meta": bb.Json})
    table.insert(
        [
            {"name": "Up", "n": 1, "meta": {"tags": ["air", "dog"]}},
            {"name": "Coco", "n": 2, "meta": None},
            {"name": None, "n": 3, "meta": [1, 2]},
        ]
    )
    return table


@pytest.fixture
def rows(films):
    return films.order_by("n").collect()


def test_row_is_a_dict(rows):
    assert rows[0] == {"name": "Up", "n": 1, "meta": {"tags": ["air", "dog"]}}
    assert rows[-1]["n"] == 3
    assert list(rows)[1] == {"name": "Coco", "n": 2, "meta": None}


def test_column_is_a_list_and_cell_is_a_value(rows):
    assert rows["name"] == ["Up", "Coco", None]
    assert rows[1, "name"] == "Coco"
    assert rows[-1, "meta"] == [1, 2]


def test_slice_is_a_result(rows):
    assert rows[1:]["n"] == [2, 3]
    assert rows[::-1]["n"] == [3, 2, 1]
    assert len(rows[:0]) == 0
    assert rows[5:] == []


def test_result_is_a_sequence(rows):
    assert len(rows) == 3
    assert rows.columns == ("name", "n", "meta")
    assert rows[0] in rows
    assert rows.index(rows[2]) == 2
    assert [row["n"] for row in reversed(rows)] == [3, 2, 1]
    assert bool(rows)
    assert not rows[:0]


@pytest.mark.parametrize("place", [3, -4])
def test_row_beyond_the_end_raises_index_error(rows, place):
    with pytest.raises(IndexError):
        rows[place]
    with pytest.raises(IndexError):
        rows[place, "n"]


def test_unknown_column_error_lists_the_columns(rows):
    with pytest.raises(ColumnNotFoundError, match=r"no column 'title'.*name, n, meta"):
        rows["title"]
    with pytest.raises(KeyError):
        rows[0, "title"]


def test_results_with_equal_rows_are_equal(films, rows):
    assert rows == films.order_by("n").collect()
    assert rows != films.order_by("name").limit(2).collect()
    assert rows[:1] == [{"name": "Up", "n": 1, "meta": {"tags": ["air", "dog"]}}]
    assert rows != "something else"


def test_result_converts_to_arrow_pandas_and_polars(rows):
    plain = rows.to_pyarrow()
    frame = rows.to_pandas()
    polar = rows.to_polars()

    assert isinstance(plain, pa.Table)
    assert plain["n"].to_pylist() == [1, 2, 3]
    assert isinstance(frame, pd.DataFrame)
    assert frame["n"].tolist() == [1, 2, 3]
    assert isinstance(polar, pl.DataFrame)
    assert polar["name"].to_list() == ["Up", "Coco", None]


def test_repr_is_a_table(rows):
    shown = repr(rows)
    for text in ("name", "int64", "Up", "Coco", "air"):
        assert text in shown


def test_repr_fits_the_terminal_and_lists_omitted_columns(session, monkeypatch):
    names = [f"column_{place}" for place in range(20)]
    table = bb.create_table("wide", dict.fromkeys(names, bb.Int))
    table.insert(dict.fromkeys(names, 7))
    for columns, fitting in ((200, 17), (80, 7), (8, 1)):
        monkeypatch.setenv("COLUMNS", str(columns))
        shown = repr(table.collect())
        assert max(map(len, shown.splitlines())) <= columns
        left = "".join(shown[shown.index("Too") :].split())
        assert left == f"Toowidefor{20 - fitting}more:{','.join(names[fitting:])}."
        assert columns < 20 or shown.count("int64") == fitting
    monkeypatch.setenv("COLUMNS", "300")
    assert "Too wide" not in repr(table.collect())


def test_numbers_are_right_aligned_and_nulls_are_distinct_from_strings(session):
    table = bb.create_table("t", {"n": bb.Int, "text": bb.String, "v": bb.Vector(6)})
    table.insert([{"n": 1, "text": "NULL", "v": [0.5] * 6}, {"n": 12345, "text": None, "v": None}])
    shown = repr(table.order_by("n").collect()).splitlines()
    assert shown[4].startswith("│     1 │ NULL")
    assert shown[5].startswith("│ 12345 │ NULL")
    assert "[0.5, 0.5, 0.5, 0.5, … 6 in all]" in " ".join(shown[4].split())


def test_show_prints_cell_errors_and_a_title(session, capsys):
    @bb.udf(on_error="null")
    def inverse(n: int) -> float:
        return 1 / n

    table = bb.create_table("numbers", [{"n": n} for n in range(12)])
    table.add_computed_column(inverse=inverse(table.n))
    table.show(3)
    printed = capsys.readouterr().out
    assert "numbers: table of 12 rows" in printed
    assert "⚠ ZeroDivisionError: division by zero" in printed
    assert "The first 3 rows of 12." in printed
    assert "\x1b[" not in printed  # no colours without a terminal
    table.select(twice=inverse(table.n + 1) * 2).show()
    assert "0.66666667" in capsys.readouterr().out


def test_result_shows_cell_errors_while_its_rows_are_unchanged(session):
    @bb.udf(on_error="null")
    def inverse(n: int) -> float:
        return 1 / n

    table = bb.create_table("numbers", [{"n": n} for n in range(3)])
    table.add_computed_column(inverse=inverse(table.n))
    rows = table.order_by("n").collect()
    assert "⚠ ZeroDivisionError: division by zero" in repr(rows)
    assert "<b>ZeroDivisionError</b> division by zero" in rows._repr_html_()
    assert "Error" not in repr(table.where(table.n > 0).collect())
    assert rows.to_pyarrow().column_names == ["n", "inverse"]
    table.delete(where=table.n == 1)
    assert "NULL" in repr(rows)
    assert "Error" not in repr(rows)
    session.close()
    assert "NULL" in repr(rows)


def test_rich_prints_a_result_in_colours(session):
    import io

    from rich.console import Console

    table = bb.create_table("t", [{"text": "[red]x[/red]"}])
    text = io.StringIO()
    Console(file=text, force_terminal=True, width=60, color_system="truecolor").print(
        table.collect()
    )
    assert "[red]x[/red]" in text.getvalue()
    assert "\x1b[" in text.getvalue()


def test_markup_in_cells_is_shown_literally(session):
    table = bb.create_table("t", {"text": bb.String})
    texts = ["[red]alert[/red]", "[link=x]", r"back\[slash", ":smile:", "[/]", "end\\"]
    table.insert([{"text": text} for text in texts])

    shown = repr(table.collect())

    for text in texts:
        assert text in shown


def test_markup_in_column_names_is_shown_literally(session):
    table = bb.create_table("t", {"[bold]x": bb.String})
    table.insert([{"[bold]x": "a"}])

    assert "[bold]x" in repr(table.collect())


def test_html_repr_is_escaped(session):
    table = bb.create_table("t", {"<b>col": bb.String})
    table.insert([{"<b>col": "<script>alert(1)</script>"}, {"<b>col": '"&'}])

    shown = table.collect()._repr_html_()

    assert "<script>" not in shown
    assert "<b>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown


def test_repr_shows_the_first_rows_and_the_total(session):
    table = bb.create_table("t", {"n": bb.Int})
    table.insert([{"n": n} for n in range(100, 150)])
    rows = table.order_by("n").collect()

    assert "20 of 50 rows" in repr(rows)
    assert "20 of 50 rows" in rows._repr_html_()
    assert "119" in repr(rows)
    assert "120" not in repr(rows)


def test_long_cells_are_truncated_in_displays(session):
    table = bb.create_table("t", {"text": bb.String})
    table.insert(text="x" * 5000)

    assert "x" * 700 not in table.collect()._repr_html_()
    assert repr(table.collect()).count("x") < 100
    assert table.collect()[0, "text"] == "x" * 5000


def test_show_prints_the_first_rows(films, capsys):
    films.order_by("n").show(2)

    printed = capsys.readouterr().out
    assert "Coco" in printed
    assert "[1, 2]" not in printed


def test_empty_result_is_displayed(films):
    empty = films.where(films.n > 99).collect()
    assert "name" in repr(empty)
    assert "name" in empty._repr_html_()


def test_images_are_opened_on_access(session, tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        Image.new("RGB", (3, 2)).save(path)
    table = bb.create_table("pics", {"n": bb.Int, "img": bb.Image})
    table.insert([{"n": n, "img": path} for n, path in enumerate(paths)])
    rows = table.order_by("n").collect()
    paths[1].unlink()

    assert rows["n"] == [0, 1]
    assert rows[0, "img"].size == (3, 2)
    assert "b.png" in repr(rows)
    assert rows.to_pyarrow()["img"].to_pylist() == [str(path) for path in paths]
    with pytest.raises(MediaError, match=r"b\.png does not exist"):
        rows[1, "img"]


def test_vectors_and_timestamps_are_python_values(session):
    import datetime

    table = bb.create_table("t", {"v": bb.Vector(2), "seen": bb.Timestamp})
    moment = datetime.datetime.fromisoformat("2024-05-06T07:08")
    table.insert(v=np.array([0.5, 1.5]), seen=moment)

    assert table.collect() == [{"v": [0.5, 1.5], "seen": moment}]


BIG = 2**53 + 1  # no exact float


@pytest.fixture
def wholes(session):
    kinds = {
        "id": "int64",
        "small": "uint8",
        "record": "struct<id: int64, name: string>",
        "items": "array<int64>",
        "records": "array<struct<id: int64, items: array<int64>>>",
        "full": "array<int64>",
    }
    table = bb.create_table("wholes", kinds)
    table.insert(
        [
            {
                "id": BIG,
                "small": 255,
                "record": {"id": BIG, "name": "a"},
                "items": [BIG, None],
                "records": [{"id": BIG, "items": [BIG]}, {"id": None, "items": [None]}, None],
                "full": [BIG],
            },
            {"id": None, "small": None, "record": {"id": None}, "items": [], "records": None},
        ]
    )
    return table


def test_pandas_keeps_integers_with_nulls(wholes):
    ordered = wholes.order_by("small")
    for frame in (ordered.collect().to_pandas(), ordered.to_pandas()):
        assert [str(frame[name].dtype) for name in ("id", "small")] == ["Int64", "UInt8"]
        assert frame["id"][0] == BIG
        assert frame["id"].isna().tolist() == [False, True]
        assert frame["record"][0] == {"id": BIG, "name": "a"}
        assert list(frame["items"][0]) == [BIG, None]
        assert frame["full"][0][0] == BIG
        first, second, third = frame["records"][0]
        assert (first["id"], list(first["items"])) == (BIG, [BIG])
        assert (second["id"], list(second["items"]), third) == (None, [None], None)
        copy = bb.create_table("copy", wholes.schema(), if_exists="replace")
        copy.insert(frame)
        assert copy.order_by("small").collect() == ordered.collect()
    assert str(wholes.id.to_pandas().dtype) == "Int64"
    assert str(wholes.limit(1).full.to_pandas().dtype) == "object"
    batches = list(ordered.to_pandas_batches())
    assert [frame["id"].tolist() for frame in batches] == [[BIG, pd.NA]]


def test_pandas_integers_without_nulls_are_plain(wholes):
    full = wholes.filter(wholes.id > 0).select("id", "small", "full")
    for frame in (full.collect().to_pandas(), full.to_pandas(), full.execute()):
        assert [str(frame[name].dtype) for name in ("id", "small")] == ["int64", "uint8"]
    assert full.collect().to_pandas()["full"][0].dtype == "int64"


def test_execute_uses_floats_like_ibis_unless_values_change(wholes):
    frame = wholes.order_by("small").execute()
    assert str(frame["small"].dtype) == "float64"
    assert str(frame["id"].dtype) == "Int64"
    assert frame["id"][0] == BIG
    assert wholes.id.max().execute() == BIG


HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\rc\x9b31m\x7f\x00\x08"


def controls(text):
    return sorted({char for char in text if not char.isprintable()} - {"\n"})


def test_control_characters_of_data_are_escaped(session, capsys):
    text = HOSTILE.replace("\0", "")  # not accepted by Postgres
    table = bb.create_table("t", {"s": bb.String, "j": bb.Json, "l": list[str], "u": bb.Document})
    table.insert([{"s": text, "j": {text: text}, "l": [text], "u": None}])
    rows = table.collect()
    assert rows[0]["s"] == text  # data are unchanged
    assert controls(repr(rows)) == []
    assert r"\x1b[2J\x1b]0;owned\x07b\rc\x9b31m" in repr(table.select("s").collect())
    table.show()
    printed = capsys.readouterr().out
    assert controls(printed) == []
    assert r"\x1b[2J" in printed


def test_control_characters_of_errors_are_escaped(session):
    table = bb.create_table("t", [{"s": "a"}])

    @bb.udf
    def wrong(s: str) -> str:
        raise ValueError(HOSTILE)

    with pytest.raises(FunctionError, match=r"\\x1b\[2J") as caught:
        table.select(x=wrong(table.s)).collect()
    assert controls(str(caught.value)) == []
    table.add_computed_column(x=wrong(table.s), on_error="null")
    assert controls(repr(bb.get_table("t").collect())) == []
    assert controls(repr(bb.get_table("t").errors().collect())) == []
    with pytest.raises(BarbuleError) as caught:
        bb.get_table(HOSTILE)
    assert controls(str(caught.value)) == []


def test_newlines_and_tabs_are_kept_in_errors():
    assert str(BarbuleError("a\tb\r\nc", hint="d\ne")) == "a\tb\nc d\ne"


def test_cell_is_accessed_by_column_number(session):
    rows = bb.create_table("cells", [{"a": 1, "b": "x"}]).collect()
    assert (rows[0, 0], rows[0, 1], rows[0, -1], rows[0, "b"]) == (1, "x", "x", "x")
    for wrong in ((0, 2), (0, 0, 0), ("a", 0), (0, None), (0,)):
        with pytest.raises(
            ExpressionError, match=r"a row number and a column.*the columns are a, b"
        ):
            rows[wrong]
