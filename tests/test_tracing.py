"""Traces: the tree of what an operation ran, and that it costs nothing where none is open."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import ibis
import pytest

import barbule as bb
from barbule import tracing
from barbule.errors import DataError, FunctionError
from barbule.tracing import recording

SECRET = "sk-live-4815162342abcdef"


def kinds(span):
    return [child.kind for child in span.children]


def statements(span, verb):
    return span.find("statement", verb)


@pytest.fixture
def shout():
    @bb.udf(cache=True)
    def shout(text: str) -> str:
        return text.upper()

    return shout


@pytest.fixture
def embed():
    @bb.udf
    def embed(text: str) -> bb.Vector(2):
        return [float(len(text)), 1.0]

    return embed


@pytest.fixture
def films(session, shout, embed):
    table = session.create_table("films", [{"name": "Up", "year": 2009}])
    table.add_computed_column(loud=shout(table.name))
    table.add_embedding_index("name", embedding=embed)
    return table


def calls_of(span, function):
    return [each for each in span.find("calls") if each.name.endswith(function)]


def test_an_insert_with_a_function_and_an_index(films, session):
    with bb.trace() as t:
        films.insert([{"name": "Up", "year": 1}, {"name": "Soul", "year": 2}])
    (operation,) = t.children
    assert (operation.kind, operation.name) == ("operation", "insert")
    assert operation.attributes["tables"] == ("films",)
    (called,) = calls_of(t, "shout")
    counted = {key: called.attributes[key] for key in ("rows", "calls", "hits")}
    assert counted == {"rows": 2, "calls": 1, "hits": 1}
    (read,) = called.find("ledger", "read")
    assert (read.attributes["keys"], read.attributes["found"]) == (2, 1)
    (embedded,) = calls_of(t, "embed")
    assert embedded.attributes["rows"] == 2
    (commit,) = t.find("commit")
    assert commit.attributes["rows"] == {"films": 2}
    assert commit.attributes["commit"] == session._engine.catalog.head
    assert t.count("convert") == 1
    written = statements(commit, "INSERT") + statements(commit, "COPY")
    assert written
    assert all(0 <= span.ms <= operation.ms + 0.1 for span in operation.find("statement"))


def test_a_cold_search_and_a_warm_one(films):
    search = films.order_by(films.name.similarity("Up").desc()).limit(1).select("name")
    with bb.trace() as cold:
        assert search.collect()["name"] == ["Up"]
    with bb.trace() as warm:
        assert search.collect()["name"] == ["Up"]
    assert (cold.children[0].kind, cold.children[0].name) == ("operation", "collect")
    (plan,) = cold.find("plan")
    assert plan.name == "made"
    assert "search_indexes" in plan.attributes["rules"]
    (found,) = cold.find("search")
    assert found.attributes["path"] == "memory"
    assert found.attributes["rows"] == 1
    assert found.attributes["reason"].startswith("1 rows")
    assert found.count("statement") > 0  # the vectors are read into memory
    assert [span.name for span in warm.find("plan")] == ["cached"]
    assert warm.find("search")[0].count("statement") == 0


def test_a_new_model_column(models, session):
    table = session.create_table("films", [{"name": "Up"}, {"name": "Soul"}, {"name": "Up"}])
    chat = bb.functions.openai.chat_completions(
        [{"role": "user", "content": table.name}], model="gpt-4o-mini"
    )
    with bb.trace() as t:
        table.add_computed_column(reply=chat.choices[0].message.content)
    assert t.children[0].name == "add_computed_column"
    calls = t.find("calls")
    assert len(calls) == 1
    assert "openai" in calls[0].name
    counted = [calls[0].attributes[name] for name in ("rows", "calls", "requests")]
    assert counted == [3, 2, 2]
    writes = t.find("ledger", "write")
    assert sum(span.attributes["rows"] for span in writes) == 2


def test_a_read_at_a_version(films):
    films.insert(name="Soul", year=2)
    with bb.trace() as t:
        assert films.at(0).select("name").collect()["name"] == ["Up"]
    reads = [span for span in t.find("statement") if '"bb_rows' in span.attributes["sql"]]
    assert len(reads) == 1
    assert reads[0].attributes["rows"] == 1
    assert t.count("commit") == 0


def test_an_update_under_views(films, session):
    session.create_view("old", films.filter(films.year < 2010))
    session.create_view("years", films.group_by("year").agg(n=films.count()))
    with bb.trace() as t:
        films.update({"year": 2020}, where=films.name == "Up")
    ways = {span.name: span.attributes["way"] for span in t.find("view")}
    assert ways == {"old": "incremental", "years": "full refresh"}
    (commit,) = t.find("commit")
    assert set(commit.attributes["rows"]) == {"films", "old", "years"}
    assert calls_of(t, "shout") == []


def test_an_error_ends_its_spans_and_says_its_type(films):
    @bb.udf
    def fail(text: str) -> str:
        raise ValueError(text)

    with bb.trace() as t:
        with pytest.raises(FunctionError, match="fail"):
            films.select(x=fail(films.name)).collect()
        with pytest.raises(DataError, match="year"):
            films.insert(name="Soul", year="many")
        films.insert(name="Soul", year=1)
    collected, refused, inserted = t.find("operation")
    assert collected.attributes["error"] == "FunctionError"
    assert calls_of(collected, "fail")[0].attributes["error"] == "FunctionError"
    assert refused.find("convert")[0].attributes["error"] == "DataError"
    assert "error" not in inserted.attributes
    assert "running" not in t.to_json()
    assert recording.current_node() is None


def test_threads_of_an_operation_are_part_of_it(session):
    inner = session.create_table("inner", [{"n": 1}])

    @bb.udf(concurrency=4)
    def looked_up(number: int) -> int:
        return len(inner.collect()) + number

    @bb.udf
    async def waited(number: int) -> int:
        with tracing.span("test", "in the loop"):
            return number

    table = session.create_table("t", [{"n": n} for n in range(8)])
    with bb.trace() as t:
        table.select(a=looked_up(table.n), b=waited(table.n)).collect()
    (called,) = calls_of(t, "looked_up")
    assert called.count("plan") == 8
    assert called.count("operation") == 0  # within another one
    assert calls_of(t, "waited")[0].count("test") == 8


def test_other_threads_are_not_part_of_a_trace(films):
    with bb.trace() as t:
        thread = threading.Thread(target=films.collect)
        thread.start()
        thread.join()
    assert t.children == ()


def test_answers_written_behind_are_part_of_the_operation(session, shout):
    table = session.create_table("t", [{"name": "a"}])
    with bb.trace() as t:
        table.select(x=shout(table.name)).collect()
        session._engine.ledger.flush()
    assert sum(span.attributes["rows"] for span in t.find("ledger", "write")) == 1


def test_an_index_that_follows_is_part_of_the_trace(chroma_session, embed):
    table = chroma_session.create_table("t", [{"name": "a"}])
    table.add_embedding_index("name", embedding=embed, name="names")
    chroma_session._engine.indexing.wait()
    with bb.trace() as t:
        table.insert([{"name": "b"}, {"name": "c"}])
        chroma_session._engine.indexing.wait()
    (sync,) = t.find("sync", "names")
    assert sync.attributes["rows"] == 2
    assert sync in t.children[0].children


def test_traces_within_traces(films):
    with bb.trace() as outer:
        films.collect()
        with bb.trace() as inner:
            films.insert(name="Soul", year=2)
        films.collect()
    assert [span.kind for span in outer.children] == ["operation", "trace", "operation"]
    assert [span.name for span in inner.children] == ["insert"]
    assert outer.count("operation") == 3
    assert outer.find("trace")[0].children == inner.children
    assert outer.count("commit") == inner.count("commit") == 1


def test_unknown_kinds_of_spans_are_rejected(films):
    with bb.trace() as t:
        films.insert(name="Soul", year=2)
    message = r"no kind of span 'comit'\. Did you mean 'commit'\? Kinds are operation, plan, "
    with pytest.raises(bb.errors.ExpressionError, match=message):
        t.find("comit")
    with pytest.raises(bb.errors.ExpressionError, match=message):
        t.children[0].count("comit")
    assert t.find("sync", "unknown") == ()


def test_functions_are_found_without_their_module(films, shout):
    with bb.trace() as t:
        films.insert(name="Soul", year=2)
    (called,) = t.find("calls", "shout")
    assert called.name.endswith(".shout")
    assert t.find("calls", called.name) == (called,)
    assert t.count("calls", "out") == 0


def test_counts_are_zero_rather_than_missing(session, shout):
    table = session.create_table("t", [{"name": "a"}])
    with bb.trace() as t:
        table.select(x=shout(table.name)).collect()
    (called,) = t.find("calls")
    counts = {"rows": 1, "calls": 1, "requests": 0, "hits": 0, "errors": 0, "deferred": 0}
    assert dict(called.attributes) == counts
    assert all({"rows", "bytes"} <= set(span.attributes) for span in t.find("statement"))
    (line,) = (line for line in str(t).splitlines() if "shout" in line)
    assert "[rows 1, calls 1, " in line
    assert "hits" not in line


def test_the_reason_of_a_search_follows_its_path(films):
    with bb.trace() as t:
        films.order_by(films.name.similarity("Up").desc()).limit(1).collect()
    (line,) = (line for line in str(t).splitlines() if "search" in line and "path" in line)
    assert "path memory (1 rows, less than 0.1 ms), rows 1" in line


def test_a_trace_is_data(films):
    t = bb.trace()
    assert (t.children, t.ms) == ((), 0.0)
    assert repr(t) == "<trace of 0 spans, 0.0 ms>"
    with t:
        films.insert(name="Soul", year=2)
        assert repr(t).startswith("<trace of 1 span, ")
        assert t.count("commit") == 1  # what has run so far
    span = t.find("commit")[0]
    with pytest.raises(AttributeError, match="cannot assign"):
        span.name = "other"
    with pytest.raises(TypeError, match="does not support item assignment"):
        span.attributes["commit"] = 0
    read = json.loads(t.to_json())
    assert set(read) == {"kind", "name", "ms", "attributes", "children"}
    assert read["children"][0]["attributes"] == {"tables": ["films"]}
    before = t.to_json()
    films.collect()
    assert t.to_json() == before
    with t:
        films.collect()
    assert [span.name for span in t.children] == ["collect"]


def test_how_a_trace_is_shown(films):
    with bb.trace() as t:
        films.insert(name="Soul", year=2)
    lines = str(t).splitlines()
    assert lines[0].startswith("trace  [")
    assert lines[1].startswith("└─ operation insert  [tables films, ")
    assert any("commit insert  [commit " in line and "rows films: 1" in line for line in lines)
    html = t._repr_html_()
    assert html.count("<details") == html.count("</details>") > 1
    assert "<script" not in html


def test_equal_statements_share_a_line():
    with bb.trace() as t:
        for number in range(3):
            with tracing.statement(f"SELECT {number}") as traced:
                traced.set(rows=2)
        with tracing.statement("SELECT a"):
            pass
    first, second = str(t).splitlines()[1:]
    assert first.startswith("├─ 3 × SELECT ?  [rows 6, ")
    assert second.startswith("└─ SELECT a  [")


def test_markup_in_names_is_escaped():
    with bb.trace() as t, tracing.span("test", "<script>alert(1)</script>"):
        pass
    assert "<script>" not in t._repr_html_()


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT 'a''b', 12.5e3, -7 FROM t1", "SELECT ?, ?, -? FROM t1"),
        ("SELECT E'a\\'b', x'00ff', $x$ it's $x$", "SELECT ?, ?, ?"),
        ('SELECT "c7", "Equals(name, \'Up\')"', 'SELECT "c7", "Equals(…"'),
        ('SELECT 7 AS "7", TRUE AS "True"', 'SELECT ? AS "…", ? AS "…"'),
        ("SELECT 'a' AS \"'a'\"", 'SELECT ? AS "…"'),
        ("SELECT 1 -- 'Up'\n, /* Soul */ 2", "SELECT ? , ?"),
        ("INSERT INTO t VALUES (1, 'a'), (2, 'b')", "INSERT INTO t VALUES (?, ?), …"),
        ("SELECT 'never closed", "SELECT ?"),
    ],
)
def test_values_in_statements_are_masked(sql, shown):
    with bb.trace() as t, tracing.statement(sql):
        pass
    assert t.find("statement")[0].attributes["sql"] == shown


def test_long_statements_are_cut_without_showing_the_beginning_of_a_value():
    with bb.trace() as t, tracing.statement(f"SELECT '{SECRET * 1000}'"):
        pass
    assert t.find("statement")[0].attributes["sql"] == "SELECT ?"


def test_no_cell_and_no_secret_is_in_a_trace(session, monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "horse-battery-staple")

    @bb.udf(cache=True)
    def fail(text: str, key: str) -> str:
        raise ValueError(text)

    table = session.create_table("t", {"name": bb.String, "year": bb.Int})
    with bb.trace() as t:
        table.insert([{"name": f"zebra{n}", "year": 48151623 + n} for n in range(40)])
        table.insert(name="zebra", year=48151623)
        table.update({"name": "zebraed"}, where=table.name == "zebra1")
        table.filter(table.name.contains("zebra"), table.year > 48151623).collect()
        table.select(table.name == "zebra2", table.year + 48151623).collect()
        table.select(ibis.literal("zebra"), ibis.literal(48151623)).collect()
        table.upsert([{"name": "zebra3", "year": 48151623}], on="name")
        with pytest.raises(bb.BarbuleError, match="fail"):
            table.select(x=fail(table.name, SECRET)).collect()
        table.delete(where=table.name == "zebra4")
        with tracing.span("test", f"Bearer {SECRET}", key="horse-battery-staple", of=(SECRET,)):
            pass
    for text in (t.to_json(), str(t), t._repr_html_(), repr(t)):
        assert "***" in text or text == repr(t)
        for hidden in ("zebra", "48151623", SECRET, "horse-battery", "4815162342"):
            assert hidden not in text, hidden
    assert t.count("operation") == 9


def test_no_span_is_made_where_no_trace_is_open(films, monkeypatch):
    made = []
    original = recording.Node.__init__

    def counted(self, *args):
        made.append(args[1])
        original(self, *args)

    monkeypatch.setattr(recording.Node, "__init__", counted)
    films.insert(name="Soul", year=2)
    films.collect()
    assert made == []
    with bb.trace():
        films.insert(name="Coco", year=3)
    assert "commit" in made


def test_spans_beyond_the_limit_are_counted(monkeypatch):
    monkeypatch.setattr(recording, "_MAX_SPANS", 10)
    with bb.trace() as t:
        for _ in range(15):
            with tracing.span("test"):
                pass
    assert t.count("test") == 9
    assert t.span.attributes["dropped"] == 6


def test_the_variable_prints_each_operation(films, monkeypatch, capfd):
    monkeypatch.setenv("BARBULE_TRACE", "1")
    films.filter(films.year > 1)  # runs nothing
    films.insert(name="Soul", year=2)
    films.collect()
    printed = capfd.readouterr().err
    tops = [line.split("  [")[0] for line in printed.splitlines() if line[0] not in "├└│ "]
    assert tops == ["operation insert", "operation collect"]
    monkeypatch.setenv("BARBULE_TRACE", "0")
    films.collect()
    assert capfd.readouterr().err == ""


def test_the_variable_is_a_known_one(monkeypatch):
    monkeypatch.setenv("BARBULE_TRACE", "1")
    bb.connect("duckdb://")
    monkeypatch.setenv("BARBULE_TRACES", "1")
    with pytest.raises(bb.BarbuleError, match="Did you mean 'BARBULE_TRACE'"):
        bb.connect("duckdb://")


def test_a_scalar_a_file_and_a_stream(films):
    with bb.trace() as t:
        films.count().to_pyarrow()
        films.name.to_pandas()
        films.to_parquet("films.parquet")
        films.to_csv("films.csv")
        films.to_pyarrow_batches().read_all()
    assert Path("films.parquet").exists()
    names = [span.name for span in t.find("operation")]
    assert names == ["to_pyarrow", "to_pandas", "to_parquet", "to_csv", "to_pyarrow_batches"]
    assert all(span.count("statement") for span in t.find("operation")[:4])
    streamed = [span for span in t.children if span.kind == "statement"]
    assert "bb_rows" in streamed[-1].attributes["sql"]  # read after the verb has returned it
    assert streamed[-1].attributes["rows"] == 1


def test_a_session_that_is_opened(tmp_path):
    with bb.trace() as t:
        bb.connect(f"duckdb:///{tmp_path}/a.duckdb")
    (opened,) = t.find("operation")
    assert opened.name == "connect"
    assert opened.count("statement", "CREATE") >= 3


def test_a_closed_output_fails_no_operation(films, monkeypatch):
    monkeypatch.setenv("BARBULE_TRACE", "1")
    with Path("closed").open("w") as closed:
        monkeypatch.setattr(sys, "stderr", closed)
    assert films.insert(name="Soul", year=1).rows == 1
