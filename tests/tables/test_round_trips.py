"""Written files are read again: each type, in each format, with a given schema."""

from __future__ import annotations

import datetime
import decimal
import json
import pathlib
import uuid
import wave

import openpyxl
import pytest
from PIL import Image

import barbule as bb
from barbule.errors import DataError

UTC = datetime.UTC
NAIVE = datetime.datetime(2020, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 - without a zone
BERLIN = [
    datetime.datetime(2020, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)
]  # one time of day
LONG = decimal.Decimal("-12345678901234567890.123456789")
INNER = bb.Struct({"y": bb.String, "z": bb.Float})
PLAIN = bb.Struct(
    {"a": bb.Date, "b": bb.Timestamp, "c": bb.Time, "d": bb.UUID, "e": "decimal(8, 2)"}
)
PLAIN_ROW = {
    "a": "2020-01-02", "b": NAIVE, "c": "01:02:03", "d": str(uuid.UUID(int=3)), "e": "1.25"
}  # fmt: skip
KEY = str(uuid.UUID(int=7))

# Values by type: each is written and read, beside a null.
CASES = {
    "int": (bb.Int, [1, -(2**63), 2**53 + 1]),
    "int8": ("int8", [-128, 127]),
    "uint64": ("uint64", [0, 2**64 - 1]),
    "float": (bb.Float, [0.1, float("nan"), float("inf"), float("-inf"), 1e300, 5e-324, 3.0]),
    "float32": ("float32", [0.1, float("nan"), 1e30]),
    "decimal": ("decimal(38, 9)", ["1.5", LONG]),
    "short decimal": ("decimal(8, 2)", ["1.50", "-999999.99"]),
    "bool": (bb.Bool, [True, False]),
    "text": (bb.String, ["a", "NULL", "null", 'a,b\n"c"', " x ", "NaN", "\\N", "\r\n", "1",
                         "tab\t", "ünï", "=1+1", "#N/A", "_x0041_", "true", "{}"]),
    "date": (bb.Date, ["2020-01-02", "0001-01-01", "1900-02-28", "9999-12-31"]),
    "time": (bb.Time, ["01:02:03.000004", "00:00", "23:59:59.999999", "12:00:00.5"]),
    "timestamp": (bb.Timestamp, [NAIVE, "1500-01-01", "1900-01-01", "2020-01-02T03:04:05.5"]),
    "nanoseconds": (bb.Timestamp(scale=9), ["2020-01-02", "2020-01-01T00:00:00.123456789"]),
    "zone": (bb.Timestamp(timezone="Europe/Berlin"), [*BERLIN, NAIVE]),
    "duration": (bb.Duration, [datetime.timedelta(1, 0, 3), datetime.timedelta(seconds=-1.5),
                               datetime.timedelta(0), datetime.timedelta(100_000, 60)]),
    "binary": (bb.Binary, [b"abc", b"\x00\xff", b"NULL"]),
    "uuid": (bb.UUID, [KEY]),
    "ints": (list[int], [[1, 2], [1, None], []]),
    "texts": (list[str], [["a", "b,c", 'q"', "it's"], [None, "", "null", "NULL"], []]),
    "dates": (list[datetime.date], [["2020-01-02", None]]),
    "floats": (list[float], [[1.5, None, float("nan"), float("inf")]]),
    "decimals": ("array<decimal(38, 9)>", [[LONG, None]]),
    "lists": (list[list[int]], [[[1], [], [None]], [None]]),
    "binaries": ("array<binary>", [[b"\x00a", None]]),
    "durations": (list[datetime.timedelta], [[datetime.timedelta(1), None]]),
    "zones": (bb.Array(bb.Timestamp(timezone="Europe/Berlin")), [[BERLIN[0], None, BERLIN[1]]]),
    "map": ("map<string, int64>", [{"a": 1, "b": None}, {}, {"x,y=": 2}]),
    "map of ints": ("map<int64, string>", [{1: "a", -2: None}]),
    "map of dates": ("map<date, binary>", [{datetime.date(2020, 1, 2): b"\xff"}]),
    "struct": (bb.Struct({"a": bb.Int, "b": bb.String}),
               [{"a": 1, "b": "x, y"}, {"a": None, "b": None}, {"a": None, "b": ""}]),
    "plain struct": (PLAIN, [PLAIN_ROW]),
    "odd struct": (bb.Struct({"a": bb.Binary, "b": bb.Duration}),
                   [{"a": b"\xff", "b": datetime.timedelta(1)}]),
    "map in struct": (bb.Struct({"m": "map<int64, float64>"}), [{"m": {1: 0.5}}]),
    "nested": (bb.Array(bb.Struct({"x": bb.Array(INNER)})),
               [[{"x": [{"y": "q'", "z": 1.5}, None]}, None, {"x": None}]]),
    "json": (bb.Json, [{"a": [1, None, "x"]}, [1, 2], "text", 5, True, {"a": 2**60}, "", 1.5]),
    "jsons": (bb.Array(bb.Json), [[{"a": 1}, None, "x"]]),
    "json in struct": (bb.Struct({"j": bb.Json}), [{"j": {"a": 1}}, {"j": "x"}]),
    "vector": (bb.Vector(3), [[1, 2, 3], [0.1, 0.2, 0.3]]),
    "array": (bb.Array(bb.Int, length=2), [[1, None], [3, 4]]),
    "image": (bb.Image, ["a.png"]),
    "audio": (bb.Audio, ["a.wav"]),
    "document": (bb.Document, ["a.md"]),
    "images": (bb.Array(bb.Image), [["a.png", None]]),
    "image in struct": (bb.Struct({"i": bb.Image}), [{"i": "a.png"}]),
}  # fmt: skip


def _csv(t):
    t.to_csv("rows.csv")
    return "rows.csv"


def _json(t):
    t.to_json("rows.json")
    return "rows.json"


def _lines(t):
    t.to_json("rows.jsonl.gz")
    return "rows.jsonl.gz"


def _xlsx(t):
    t.to_xlsx("rows.xlsx")
    return "rows.xlsx"


def _parquet(t):
    t.to_parquet("rows.parquet")
    return "rows.parquet"


FILES = {"csv": _csv, "json": _json, "lines": _lines, "xlsx": _xlsx, "parquet": _parquet}
SMALL = ["float", "decimal", "binary", "duration", "texts", "map", "odd struct", "jsons"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (4, 4), "red").save("a.png")
    pathlib.Path("a.md").write_text("# Down\n\nhooks")
    with wave.open("a.wav", "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))


def _table(session, kind, values, name="t"):
    table = session.create_table(name, {"id": bb.Int, "v": kind}, if_exists="replace")
    table.insert([{"id": position, "v": value} for position, value in enumerate([*values, None])])
    return table


def _cells(table):
    return repr(table.order_by("id").to_pyarrow().column("v").to_pylist())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", FILES)
def test_column_round_trips_through_file(shared, form, case, backend_name):
    if backend_name != "duckdb" and case not in SMALL:
        pytest.skip("other databases test a representative set")
    kind, values = CASES[case]
    table = _table(shared, kind, values)
    again = shared.create_table("again", {"id": bb.Int, "v": kind}, if_exists="replace")
    again.insert(FILES[form](table))
    assert _cells(again) == _cells(table)


@pytest.mark.parametrize("case", [name for name in CASES if CASES[name][0] is not bb.Image])
@pytest.mark.parametrize("form", ["folder", "webdataset", "embedded"])
def test_column_round_trips_through_data_set_with_media(shared, form, case, backend_name):
    if backend_name != "duckdb" and case not in SMALL:
        pytest.skip("other databases test a representative set")
    kind, values = CASES[case]
    if case in {"audio", "document"}:
        pytest.skip("its content is embedded, so the reference differs")
    kinds = {"id": bb.Int, "v": kind, "image": bb.Image}
    table = shared.create_table("t", kinds, if_exists="replace")
    table.insert(
        [{"id": position, "v": v, "image": "a.png"} for position, v in enumerate([*values, None])]
    )
    if form == "folder":
        table.to_folder("out")
        rows = bb.read_folder("out")
    elif form == "webdataset":
        rows = bb.read_webdataset(table.to_webdataset("out.tar")[0])
    else:
        table.to_parquet("out.parquet", embed_media=True)
        rows = bb.read_parquet("out.parquet")
    again = shared.create_table(
        "again", {**{name: rows.schema[name] for name in rows.columns}, **kinds},
        if_exists="replace",
    )  # fmt: skip
    again.insert(rows)
    assert _cells(again) == _cells(table)


def test_file_forms_match_documentation(session):
    table = session.create_table(
        "t", {"b": bb.Binary, "d": bb.Duration, "l": list[str], "n": "decimal(20, 2)"}
    )
    table.insert(b=b"hooks", d=datetime.timedelta(1, 7384), l=["a", None], n="1.50")
    table.to_csv("rows.csv")
    assert pathlib.Path("rows.csv").read_text().splitlines() == [
        "b,d,l,n",
        'aG9va3M=,P1DT2H3M4S,"[""a"",null]",1.50',
    ]
    table.to_json("rows.json")
    assert json.loads(pathlib.Path("rows.json").read_text()) == [
        {"b": "aG9va3M=", "d": "P1DT2H3M4S", "l": ["a", None], "n": "1.50"}
    ]


def test_json_lines_have_an_object_in_each_line(session):
    table = session.create_table("t", [{"n": 1}, {"n": 2}])
    for name in ("rows.jsonl", "rows.ndjson"):
        table.order_by("n").to_json(name)
        assert pathlib.Path(name).read_text().splitlines() == ['{"n":1}', '{"n":2}']
    table.order_by("n").to_json("it's.jsonl", limit=1)
    assert pathlib.Path("it's.jsonl").read_text() == '{"n":1}\n'


@pytest.mark.parametrize("text", ['[{"n": 1},\n {"n": 2}]', '\ufeff \n[\n{"n": 1}, {"n": 2}]'])
def test_json_list_in_jsonl_file_is_read(session, text):
    pathlib.Path("rows.jsonl").write_text(text, encoding="utf-8")
    table = session.create_table("t", {"n": bb.Int})
    assert table.insert("rows.jsonl").rows == 2


def test_excel_sheet_starts_with_column_names(session):
    table = session.create_table("t", [{"n": 1, "s": "x"}])
    table.to_xlsx("rows.xlsx")
    page = openpyxl.load_workbook("rows.xlsx").active
    assert list(page.iter_rows(values_only=True)) == [("n", "s"), (1, "x")]
    table.to_xlsx("bare.xlsx", header=False)
    page = openpyxl.load_workbook("bare.xlsx").active
    assert list(page.iter_rows(values_only=True)) == [(1, "x")]


@pytest.mark.parametrize(
    ("text", "message"),
    [("x" * 32_768, "32,767 characters, and this string has 32,768"), ("a\x01b", r"U\+0001")],
)
def test_text_that_excel_cannot_store_is_refused(session, text, message):
    table = session.create_table("t", [{"n": 1, "s": "x"}, {"n": 2, "s": text}])
    with pytest.raises(DataError, match=rf"column 's', row 1: .*{message}.*to_parquet"):
        table.order_by("n").to_xlsx("rows.xlsx")
    assert not pathlib.Path("rows.xlsx").exists()


def test_csv_keeps_rows_with_only_null(session):
    table = session.create_table("t", {"n": bb.Int})
    table.insert([{"n": None}, {"n": 1}, {"n": None}])
    table.to_csv("rows.csv")
    again = session.create_table("again", {"n": bb.Int})
    assert again.insert("rows.csv").rows == 3


@pytest.mark.parametrize("name", ["rows.csv", "rows.json", "rows.jsonl"])
def test_binary_in_text_files_must_be_base64(session, name):
    table = session.create_table("t", {"b": bb.Binary})
    text = "b\nno base64\n" if name == "rows.csv" else '{"b": "no base64"}'
    pathlib.Path(name).write_text(text)
    with pytest.raises(DataError, match=r"column 'b', row 0: .*base64"):
        table.insert(name)
    with pytest.raises(DataError, match="got str, not bytes"):
        table.insert(b="aG9va3M=")  # a row of Python has bytes


@pytest.mark.parametrize("text", ["1 day", "P1Y", "P", "PT", "P1DT", "PT0.0000001S", "24:00:00"])
def test_duration_strings_must_be_iso_8601(session, text):
    table = session.create_table("t", {"d": bb.Duration})
    table.insert(d="PT90S")
    assert table.collect()["d"] == [datetime.timedelta(seconds=90)]
    with pytest.raises(DataError, match=r"column 'd', row 0: .*ISO 8601"):
        table.insert(d=text)


def test_embedded_documents_keep_their_format(session):
    table = session.create_table("t", {"doc": bb.Document})
    table.insert(doc="a.md")
    table.to_parquet("rows.parquet", embed_media=True)
    kinds = {"doc": bb.Document}
    for position, rows in enumerate(
        (
            bb.read_parquet("rows.parquet"),
            bb.read_webdataset(table.to_webdataset("rows.tar")[0]),
        )
    ):
        more = {"key": bb.String} if position else {}
        again = session.create_table(f"again{position}", {**kinds, **more})
        again.insert(rows)
        assert again.select(h=again.doc.headings()).collect()[0, "h"] == ["Down"]


def test_csv_options_work_with_nested_types(session):
    table = session.create_table("t", {"n": bb.Int, "l": list[int]})
    table.insert([{"n": 1, "l": [1, 2]}, {"n": 2, "l": []}])
    table.order_by("n").to_csv("rows.csv", limit=1, header=False, sep=";")
    assert pathlib.Path("rows.csv").read_text() == "1;[1,2]\n"
