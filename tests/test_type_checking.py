"""Types of a user's program as mypy reports them."""

from __future__ import annotations

import re
import sys

import pytest

PROGRAM = """
from __future__ import annotations

import barbule as bb

session = bb.connect()
reveal_type(session)  # Session

films = bb.create_table("films", {"name": bb.String, "year": bb.Int})
reveal_type(films)  # Table
reveal_type(bb.get_table("films"))  # Table
reveal_type(bb.get_table("films", if_not_exists="ignore"))  # Table | None
reveal_type(session.get_table("films"))  # Table
reveal_type(films.insert(name="Up", year=2009))  # InsertResult
reveal_type(films.columns)  # tuple[str, ...]

reveal_type(films.year)  # Column
reveal_type(films["year"])  # Column
reveal_type(films[["name", "year"]])  # Query

recent = films.filter(films.year > 2000)
reveal_type(recent)  # Query
reveal_type(recent.where(recent.name != "Up"))  # Query
reveal_type(recent.select("name").order_by("name").limit(3))  # Query
reveal_type(recent.group_by("year"))  # GroupedQuery
reveal_type(recent.group_by("year").agg(n=recent.count()))  # Query
reveal_type(films.join(recent, "name"))  # Query
reveal_type(films.at(0))  # Table
reveal_type(bb.create_view("recent", recent))  # Table

rows = recent.collect()
reveal_type(rows)  # ResultSet
reveal_type(rows[0])  # dict[str, Any]
reveal_type(rows["name"])  # list[Any]
reveal_type(recent.explain())  # Plan
same: bb.ResultSet = films.collect()


@bb.udf
def shout(text: str) -> str:
    return text.upper()


@bb.udf(version="1")
def whisper(text: str) -> str:
    return text.lower()


reveal_type(shout)  # Function
reveal_type(whisper)  # Function
reveal_type(films.add_computed_column(loud=shout(films.name)))  # UpdateResult
reveal_type(bb.calls())  # Query
reveal_type(bb.snapshot("release"))  # Snapshot

try:
    bb.drop_table("films")
except bb.BarbuleError as error:
    reveal_type(error.hint)  # None | str

bb.creat_table  # error: Module has no attribute "creat_table"
bb.get_table(1)  # error: No overload variant matches argument type "int"
"""


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> list[str]:
    """Run mypy once; return its message for each line of the program."""
    api = pytest.importorskip("mypy.api")
    folder = tmp_path_factory.mktemp("program")
    program = folder / "program.py"
    program.write_text(PROGRAM)
    test_cache = getattr(pytestconfig, "cache", None)  # later runs are fast
    cache = folder if test_cache is None else test_cache.mkdir("mypy")
    options = ["--strict", "--no-error-summary", "--hide-error-codes"]
    options += ["--config-file", "", "--python-executable", sys.executable]
    output, errors, _ = api.run([*options, "--cache-dir", str(cache), str(program)])
    assert not errors, errors
    messages = [""] * (PROGRAM.count("\n") + 1)
    for line in output.splitlines():
        match = re.fullmatch(r".*program\.py:(\d+): (.*)", line)
        assert match, line
        messages[int(match[1]) - 1] += match[2]
    return messages


def _short(message: str) -> str:
    """Return the type of a reveal_type note without module names."""
    revealed = re.fullmatch(r'note: Revealed type is "(.*)"', message)
    return re.sub(r"\b\w+\.(?=\w)", "", revealed[1]) if revealed else message


def test_user_program_has_the_expected_types(messages: list[str]) -> None:
    expected = [line.partition("  # ")[2] for line in PROGRAM.splitlines()]
    revealed = [_short(message) for message in messages]
    assert len(revealed) >= len(expected)
    wrong = [
        f"{line}\n  mypy says: {message or 'nothing'}"
        for line, message, comment in zip(PROGRAM.splitlines(), revealed, expected, strict=False)
        if not (message.startswith(comment) if comment.startswith("error:") else message == comment)
    ]
    assert not wrong, "\n".join(wrong)
