"""Invalid input: one clear error (what, where, what to do) and no partial write."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import ibis
import pytest

import barbule as bb
from barbule.errors import (
    BarbuleError,
    ConfigurationError,
    DataError,
    ExpressionError,
    FunctionError,
    MediaError,
    ModelError,
    SchemaError,
    UnknownFunctionError,
    UnsupportedError,
)


def check_error(caught, *parts: str) -> None:
    """Check that an error is a BarbuleError whose text has all parts and a hint."""
    error = caught.value
    assert isinstance(error, BarbuleError)
    assert error.hint
    for part in parts:
        assert part in str(error)


@pytest.fixture
def films(session):
    table = bb.create_table("films", {"name": bb.String, "n": bb.Int})
    table.insert(name="Up", n=1)
    return table


def unchanged(table) -> bool:
    return table.collect()["name"] == ["Up"] and table.history()[0]["version"] == 1


# Documents


def test_missing_document_is_reported(session):
    docs = bb.create_table("docs", {"doc": bb.Document})

    with pytest.raises(MediaError, match="does not exist") as caught:
        docs.insert([{"doc": "report.pdf"}])

    check_error(caught, "table 'docs'", "column 'doc'", "row 0", "report.pdf")
    assert len(docs.collect()) == 0


def test_unreadable_document_is_reported(session):
    Path("report.pdf").write_bytes(b"%PDF-1.4\nno more than this")
    docs = bb.create_table("docs", {"doc": bb.Document})

    with pytest.raises(MediaError, match="damaged") as caught:
        docs.insert(doc="report.pdf")

    check_error(caught, "table 'docs'", "column 'doc'", "row 0", "report.pdf")
    assert len(docs.collect()) == 0


# Models


def test_unreachable_model_server_is_reported(monkeypatch):
    monkeypatch.setattr("barbule.executor.calls.runners.async_calls.MODEL_RETRIES", 1)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    with socket.socket() as closed:  # bound but not listening
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        Path("barbule.toml").write_text(f'[models.openai]\napi_base = "{url}"\n')
        bb.connect(vectors="exact:")
        qa = bb.create_table("qa", {"name": bb.String})
        qa.insert(name="Up")
        answer = bb.functions.openai.chat_completions(
            model="gpt-4o-mini", messages=[{"role": "user", "content": qa.name}]
        )

        with pytest.raises(ModelError, match=r"gpt-4o-mini") as caught:
            qa.select(answer=answer.choices[0].message.content).collect()
        assert qa.add_computed_column(answer=answer.choices[0].message.content).errors == 1

    check_error(caught, "row 0")
    assert "sk-secret" not in str(caught.value)
    (cell,) = qa.select("answer", why=qa.answer.error).collect()
    assert cell["answer"] is None
    assert "Start the server at http://127.0.0.1" in cell["why"]["message"]


# Configuration


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("backed = 'duckdb://'", "backed is not a supported key"),
        ("backend = 3", "backend must be"),
        ("[media]\nmax_byte = 1", "media.max_byte is not a supported key"),
        ("[media]\nallow_private = 'yes'", "media.allow_private must be"),
        ("[models.openai]\napi_bas = 'http://x'", "models.openai.api_bas is not a supported key"),
        ("[models.openai]\napi_key = 'sk-1'", "would store a secret"),
        ("backend = ", "is not valid TOML"),
        ("vectors = 'pinecone://x'", "vectors"),
        ("backend = 'oracle://x'", "oracle"),
    ],
)
def test_invalid_configuration_is_reported(text, message):
    Path("barbule.toml").write_text(text)

    with pytest.raises(ConfigurationError) as caught:
        bb.connect().create_table("t", {"a": bb.Int})

    assert message in str(caught.value)
    assert caught.value.hint or "must be" in message  # with a hint
    assert "sk-1" not in str(caught.value)


# Functions that this process does not define


def test_undefined_function_is_reported():
    program = """
        import barbule as bb
        bb.connect(vectors="exact:")

        @bb.udf
        def shout(text: str) -> str:
            return text.upper()

        films = bb.create_table("films", {"name": bb.String, "n": bb.Int})
        films.add_computed_column(loud=shout(films.name))
        films.insert(name="Up", n=1)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=True, env=dict(os.environ)
    )
    bb.connect(vectors="exact:")
    films = bb.get_table("films")

    assert films.collect()["loud"] == ["UP"]
    for change in (
        lambda: films.insert(name="Coco", n=2),
        lambda: films.update({"name": "Coco"}),
    ):
        with pytest.raises(
            UnknownFunctionError, match=r"'__main__\.shout' is not defined"
        ) as caught:
            change()
        check_error(caught, "table 'films'", "column 'loud'", "shout")
    assert films.collect()["name"] == ["Up"]
    films.update({"n": 5})
    films.delete()
    assert len(films.collect()) == 0


def test_failing_function_aborts_the_insert(films):
    @bb.udf
    def picky(name: str) -> str:
        if name == "bad":
            raise KeyError(name)
        return name

    films.add_computed_column(checked=picky(films.name))
    before = len(films.history())

    with pytest.raises(FunctionError, match="picky failed: KeyError") as caught:
        films.insert([{"name": "good"}, {"name": "bad"}])

    check_error(caught, "table 'films'", "column 'checked'", "row 1", "on_error='null'")
    assert films.collect()["name"] == ["Up"]
    assert len(films.history()) == before


def test_wrong_result_type_is_reported(films):
    @bb.udf
    def wrong(name: str) -> int:
        return name

    with pytest.raises(DataError, match="not a valid int64") as caught:
        films.add_computed_column(x=wrong(films.name))

    check_error(caught, "table 'films'", "column 'x'", "row 0")
    assert films.columns == ("name", "n")


# Expressions


@pytest.mark.parametrize(
    "run",
    [
        lambda t: t.select(x=t.name.hashbytes("sha512")).collect(),
        lambda t: t.select(x=t.name.hashbytes("sha512")).to_pyarrow(),
        lambda t: t.filter(t.name.authority() == "x").count().to_pyarrow(),
    ],
    ids=["collect", "to_pyarrow", "scalar"],
)
def test_unsupported_operation_is_reported(films, run):
    with pytest.raises(UnsupportedError, match="DuckDB cannot run") as caught:
        run(films)
    check_error(caught, "@bb.udf")


def test_unstorable_operation_is_rejected(films):
    @ibis.udf.scalar.builtin
    def upper(text: str) -> str: ...

    with pytest.raises(ExpressionError, match="cannot be saved in a stored expression") as caught:
        films.add_computed_column(x=upper(films.name))

    check_error(caught, "@bb.udf")
    assert films.columns == ("name", "n")


def test_unsupported_stored_operation_is_rejected(films):
    with pytest.raises(UnsupportedError, match="DuckDB cannot run") as caught:
        films.add_computed_column(stored=True, x=films.name.hashbytes("sha512"))

    check_error(caught, "table 'films'", "column 'x'")
    assert films.columns == ("name", "n")


def test_failed_cast_is_reported(films):
    with pytest.raises(DataError, match="Could not convert string 'Up'") as caught:
        films.select(x=films.name.cast("int64")).collect()
    check_error(caught, "try_cast")

    with pytest.raises(DataError, match="Could not convert") as caught:
        films.add_computed_column(stored=True, x=films.name.cast("int64"))
    check_error(caught, "table 'films'", "column 'x'")
    assert films.columns == ("name", "n")


def test_join_with_another_database_is_rejected(films):
    other = ibis.duckdb.connect().create_table("other", schema={"name": "string"})

    with pytest.raises(ExpressionError, match="more than one database") as caught:
        films.join(other, "name").collect()
    check_error(caught, "insert")


def test_unknown_type_is_rejected(session):
    with pytest.raises(SchemaError, match="strng") as caught:
        bb.create_table("t", {"a": "strng"})
    check_error(caught, "'a'")
    assert bb.list_tables() == []


# Rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"name": "a"}, {"name": 5}], r"column 'name', row 1: .*not a string.*\(value: 5\)"),
        ([{"name": "a", "n": "many"}], r"column 'n', row 0: .*\(value: 'many'\)"),
        ([{"name": "a"}, {"nam": "b"}], r"column 'nam', row 1: .*no such data column"),
        ([{"name": "a"}, "b"], r"row 1: .*mapping.*str"),
        (42, r"int cannot be inserted"),
    ],
)
def test_invalid_rows_are_rejected(films, rows, message):
    with pytest.raises(DataError, match=r"^table 'films'.*" + message) as caught:
        films.insert(rows)
    check_error(caught)
    assert unchanged(films)


def test_failed_connect_keeps_the_previous_session(session):
    films = bb.create_table("films", {"name": bb.String})
    with pytest.raises(ConfigurationError, match="no backend"):
        bb.connect("sqlite:///other.db")
    assert len(films.collect()) == 0


def test_table_of_a_closed_session_raises(session):
    films = bb.create_table("films", {"name": bb.String})
    session.close()
    with pytest.raises(ConfigurationError, match=r"the session is closed\..*bb\.connect"):
        films.collect()


def test_misspelt_column_gets_a_suggestion(session):
    films = bb.create_table("films", {"name": bb.String, "revenue": bb.Float})
    with pytest.raises(AttributeError, match=r"no column or method 'revenu'\..*'revenue'"):
        films.revenu  # noqa: B018
    assert not hasattr(films.filter(films.name == "x"), "nothing")
