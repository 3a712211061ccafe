"""Call ledger: a call runs once, and its answer is reused by later queries and sessions."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from ibis import _

import barbule as bb
import programs
from barbule.errors import FunctionError
from barbule.functions import openai
from fakes.models_server import FakeModels
from patience import PATIENCE

CALLED: list = []
BROKEN: set = set()


@bb.udf(cache=True)
def upper(text: str) -> str:
    CALLED.append(text)
    return text.upper()


@bb.udf(cache=True)
async def upper_async(text: str) -> str:
    CALLED.append(text)
    if text in BROKEN:
        await asyncio.sleep(0.1)
        raise ConnectionError("gone")
    return text.upper()


@bb.udf(cache=True, batch_size=2)
def upper_batch(texts: list[str]) -> list[str]:
    CALLED.extend(texts)
    if BROKEN & set(texts):
        raise ConnectionError("gone")
    return [text.upper() for text in texts]


@bb.udf(batch_size=4, cache=True)
def embed(texts: list[str]) -> list[bb.Vector(3)]:
    CALLED.extend(texts)
    return [np.array([1 / 3, len(text), -1e-30], "float32") for text in texts]


@bb.udf
def plain(text: str) -> str:
    CALLED.append(text)
    return text


@pytest.fixture(autouse=True)
def reset_called():
    CALLED.clear()
    BROKEN.clear()


def table_of(name, texts):
    table = bb.create_table(name, {"w": bb.String})
    table.insert([{"w": text} for text in texts])
    return table


def asked():
    found, CALLED[:] = sorted(CALLED), []
    return found


def test_equal_calls_in_a_batch_run_once(session):
    table = table_of("t", ["a", "b", "a", None, "a"])
    found = table.add_computed_column(x=upper(table.w))
    assert table.collect()["x"] == ["A", "B", "A", None, "A"]
    assert asked() == ["a", "b"]
    assert (found.calls, found.hits) == (2, 0)


def test_equal_calls_across_queries_tables_and_views_run_once(session):
    one, two = table_of("one", ["a", "b"]), table_of("two", ["b", "c"])
    one.select(upper(one.w)).collect()
    assert asked() == ["a", "b"]
    found = two.add_computed_column(x=upper(two.w))
    assert asked() == ["c"]
    assert (found.calls, found.hits) == (1, 1)
    bb.create_view("v", one, computed_columns={"x": upper(one.w)})
    one.filter(upper(one.w) == "A").collect()
    assert asked() == []


def test_ledger_answer_survives_reopen(session, backend_url):
    table = table_of("t", ["a", "b"])
    table.select(upper(table.w)).collect()
    session.close()
    again = bb.connect(backend_url, vectors="exact:").get_table("t")
    again.insert(w="c")
    CALLED.clear()
    assert again.select(x=upper(again.w)).collect()["x"] == ["A", "B", "C"]
    assert asked() == ["c"]


def test_new_function_version_calls_again(session):
    table = table_of("t", ["a"])

    def answered(version, answer):
        @bb.udf(cache=True, version=version, name="tests.versioned")
        def versioned(text: str) -> str:
            return answer

        return table.select(x=versioned(table.w)).collect()["x"]

    assert answered("1", "one") == ["one"]
    assert answered("2", "two") == ["two"]
    assert answered("1", "three") == ["one"]


def test_other_server_calls_again(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    url = f"duckdb:///{tmp_path / 'shared.duckdb'}"

    def ask(server, **settings):
        with bb.connect(url, vectors="exact:", models={"openai": settings}) as session:
            table = session.create_table("t", [{"w": "a"}], if_exists="ignore")
            reply = openai.chat_completions(
                model="gpt-4o-mini", messages=[{"role": "user", "content": table.w}]
            )
            table.select(x=reply.choices[0].message.content).collect()
        return server.count

    with FakeModels() as one, FakeModels() as other:
        assert ask(one, api_base=one.url) == 1
        assert ask(other, api_base=other.url) == 1
        assert ask(one, api_base=f"{one.url}/") == 1  # the ledger answers
        monkeypatch.setenv("OPENAI_BASE_URL", other.url)
        assert ask(other) == 1
        monkeypatch.setenv("OPENAI_BASE_URL", one.url)
        assert ask(one) == 1


def test_other_arguments_call_again(session):
    @bb.udf(cache=True)
    def tagged(text: str, tag: str) -> str:
        CALLED.append((text, tag))
        return text + tag

    table = table_of("t", ["a"])
    for tag in ("1", "2", "1"):
        assert table.select(x=tagged(table.w, tag)).collect()["x"] == [f"a{tag}"]
    assert asked() == [("a", "1"), ("a", "2")]


@pytest.mark.parametrize("function", [upper_async, upper_batch], ids=["async", "batch"])
def test_answers_before_a_failure_are_kept(session, function):
    words = [f"w{n}" for n in range(9)]
    table = table_of("t", words)
    BROKEN.add("w8")
    with pytest.raises(FunctionError, match=r"row 8: .*ConnectionError: gone"):
        table.add_computed_column(x=function(table.w))
    assert table.columns == ("w",)
    assert asked() == words
    BROKEN.clear()
    assert table.add_computed_column(x=function(table.w)).hits == 8
    assert asked() == ["w8"]
    assert table.collect()["x"] == [word.upper() for word in words]


def test_failed_cell_is_called_again(session):
    @bb.udf(cache=True, on_error="null")
    def flaky(text: str) -> str:
        CALLED.append(text)
        if text in BROKEN:
            raise ConnectionError("gone")
        return text

    table = table_of("t", ["a", "b"])
    BROKEN.add("b")
    assert table.select(x=flaky(table.w)).collect()["x"] == ["a", None]
    BROKEN.clear()
    CALLED.clear()
    assert table.select(x=flaky(table.w)).collect()["x"] == ["a", "b"]
    assert asked() == ["b"]


def test_media_arguments_are_keyed_by_content(session):
    from PIL import Image

    @bb.udf(cache=True)
    def size(image: bb.Image) -> int:
        CALLED.append("image")
        return image.width

    Image.new("RGB", (3, 3), "red").save("one.png")
    Path("two.png").write_bytes(Path("one.png").read_bytes())
    Image.new("RGB", (4, 4), "red").save("other.png")
    table = bb.create_table("images", {"img": bb.Image})
    table.insert([{"img": name} for name in ("one.png", "two.png", "other.png")])
    assert table.select(x=size(table.img)).collect()["x"] == [3, 3, 4]
    assert len(CALLED) == 2


def test_vectors_are_stored_compactly_and_exactly(session):
    table = table_of("t", ["a", "bb"])
    first = table.select(x=embed(table.w)).collect()["x"]
    assert first == table.select(x=embed(table.w)).collect()["x"]
    assert asked() == ["a", "bb"]
    assert first[1] == np.array([1 / 3, 2, -1e-30], "float32").tolist()
    answers = session.ibis.con.execute("select answer from bb_calls").fetchall()
    assert {len(answer) for (answer,) in answers} == {3 * 4}


def test_calls_returns_a_table(session):
    table = table_of("t", ["a", "b"])
    table.select(upper(table.w), embed(table.w)).collect()
    found = bb.calls().group_by("function").agg(n=_.count(), tries=_.attempts.sum())
    rows = {row["function"].rsplit(".", 1)[-1]: row for row in found.collect()}
    assert {name: (row["n"], row["tries"]) for name, row in rows.items()} == {
        "upper": (2, 2),
        "embed": (2, 2),
    }
    assert bb.calls().filter(_.seconds < 0).count().to_pyarrow().as_py() == 0
    assert "answer" not in bb.calls().columns


def test_uncached_functions_are_not_recorded(session):
    table = table_of("t", ["a", "a"])
    for _again in range(2):
        table.select(plain(table.w)).collect()
    assert asked() == ["a"] * 4
    assert bb.calls().count().to_pyarrow().as_py() == 0


_SCRIPT = """
import asyncio, sys
import barbule as bb

@bb.udf(cache=True, version="1", name="killed.slow")
async def slow(n: int) -> int:
    with open("asked.txt", "a") as log:
        log.write(f"{n}\\n")
    if n >= int(sys.argv[1]):
        await asyncio.sleep(60)
    return n * 2

bb.connect(vectors="exact:")
t = bb.create_table("t", {"n": bb.Int}, if_exists="ignore")
if not t.count().to_pyarrow().as_py():
    t.insert([{"n": n} for n in range(200)])
t.add_computed_column(x=slow(t.n))
print(t.x.sum().to_pyarrow().as_py())
"""


def test_killed_job_resumes_from_the_ledger(tmp_path):
    script = Path("job.py")
    script.write_text(textwrap.dedent(_SCRIPT))
    log = Path("asked.txt")
    command = [sys.executable, str(script.absolute())]
    job = programs.Popen([*command, "150"])  # the last fifty calls never return
    try:
        deadline = time.monotonic() + PATIENCE
        while not log.exists() or len(log.read_text().split()) < 200:
            assert job.poll() is None, "the job ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(5)  # answers are written while the other calls run
    finally:
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
    log.unlink()
    done = programs.run(
        [*command, "1000"], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout.strip() == str(sum(range(200)) * 2)
    again = sorted(int(line) for line in log.read_text().split())
    assert again == list(range(150, 200))  # calls answered before the kill are not repeated
