"""Identity of functions: those of one factory are distinct by their closures in every process."""

from __future__ import annotations

import contextvars
import datetime
import functools
import operator
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import barbule as bb
from barbule.errors import ExpressionError, UnknownFunctionError
from barbule.functions import openai, registry
from barbule.functions.identity.source_hash import Source


class Model:
    def __init__(self, name):
        self.name = name
        self.asked = 0

    def ask(self, x: str) -> str:
        self.asked += 1
        return f"{self.name}:{x}"


@dataclass
class Settings:
    limit: int = 1
    tags: list = field(default_factory=list)


@dataclass(frozen=True)
class Nested:
    settings: Settings
    when: datetime.date


class Slots:
    __slots__ = ("mark",)

    def __init__(self, mark):
        self.mark = mark


class Callable:
    def __init__(self, k):
        self.k = k

    def __call__(self, x: str) -> str:
        return f"{x}{self.k}"


def closing_over(value):
    def f(x: str) -> str:
        return f"{value}{x}"

    return f


def bound(value) -> str:
    return Source(closing_over(value)).closure.digest()


def inner(k):
    def g(x):
        return x + k

    return g


def recursive(k):
    def g(n):
        return 1 if n == 0 else k * g(n - 1)

    return g


def local_class(mark):
    class Local:
        end = mark

        def put(self, x):
            return f"{x}{mark}"

    return Local


PAIRS = [
    pytest.param(lambda k: k, id="number"),
    pytest.param(lambda k: (k, "a"), id="tuple"),
    pytest.param(lambda k: [{"a": {k}}], id="nested containers"),
    pytest.param(lambda k: datetime.date(2020, 1, k), id="date"),
    pytest.param(lambda k: Path(str(k)), id="path"),
    pytest.param(np.arange, id="small array"),
    pytest.param(np.float32, id="number of NumPy"),
    pytest.param(Model, id="object"),
    pytest.param(Settings, id="dataclass"),
    pytest.param(lambda k: Settings(tags=[k]), id="list in a dataclass"),
    pytest.param(lambda k: Nested(Settings(k), datetime.date(2020, 1, 1)), id="nested dataclass"),
    pytest.param(Slots, id="slots"),
    pytest.param(lambda k: SimpleNamespace(k=k), id="namespace"),
    pytest.param(lambda k: [Model(k)], id="list of objects"),
    pytest.param(lambda k: contextvars.ContextVar(f"v{k}"), id="context variable"),
    pytest.param(inner, id="function"),
    pytest.param(lambda k: functools.partial(inner, k), id="partial"),
    pytest.param(lambda k: Model(k).ask, id="bound method"),
    pytest.param(lambda k: f"{k}".join, id="bound method of Python's own"),
    pytest.param(operator.itemgetter, id="itemgetter"),
    pytest.param(lambda k: functools.lru_cache(inner(k)), id="cached function"),
    pytest.param(recursive, id="recursive function"),
    pytest.param(local_class, id="class of a function"),
    pytest.param(lambda k: local_class(k)(), id="object of such a class"),
    pytest.param(lambda k: (lambda x: x + 1) if k == 1 else (lambda x: x - 1), id="lambda"),
    pytest.param(lambda k: (len, abs)[k - 1], id="builtin"),
    pytest.param(lambda k: bb.udf(inner(k), return_type=int), id="udf"),
    pytest.param(bb.udf(Callable), id="function with state"),
    pytest.param(
        lambda k: (openai.chat_completions, openai.embeddings)[k - 1],
        id="must be a barbule function",
    ),
    pytest.param(lambda k: openai.chat_completions.using(model=f"m{k}"), id="fixed argument"),
    pytest.param(lambda k: bb.tools(bb.udf(inner(k), return_type=int)), id="tools"),
]


@pytest.mark.parametrize("make", PAIRS)
def test_closure_digest_follows_the_closed_over_values(make):
    assert bound(make(1)) == bound(make(1)) != bound(make(2))


def test_closed_over_tables_queries_and_columns_are_identified(session):
    a, b = (bb.create_table(name, [{"k": 1}]) for name in "ab")
    view = bb.create_view("v", a.where(a.k > 0))
    different = [a, b, view, a.at(0), a.where(a.k > 1), a.where(a.k > 2), a.k, a.k + 1, session]
    digests = [bound(each) for each in different]
    assert len(set(digests)) == len(different)
    assert digests[0] == bound(bb.get_table("a"))


def test_closed_over_table_follows_its_replacement(session):
    old = bb.create_table("a", [{"k": 1}])
    before = bound(old)
    assert bound(bb.create_table("a", [{"k": 2}], if_exists="replace")) == before != bound(old)


def test_shared_and_equal_parts_have_one_digest():
    one = ("a", "b")
    assert bound([one, one]) == bound([("a", "b"), tuple("ab")])
    looped = Settings()
    looped.tags.append(looped)
    assert bound(looped)


def test_digest_ignores_state_that_a_method_changes():
    model = Model("A")
    source = Source(closing_over(model))
    before = source.closure.digest()
    model.ask("x")
    assert source.closure.digest() == before
    model.name = "B"  # changed from outside
    assert source.closure.digest() != before


def test_digest_ignores_state_that_a_function_changes():
    def make(seen):
        def f(x):
            nonlocal count
            count += 1
            seen.append(x)
            return x

        count = 0
        return f

    f = make([])
    source = Source(f)
    before = source.closure.digest(), source.digest()
    f(1)
    assert (source.closure.digest(), source.digest()) == before
    assert Source(make(["a"])).closure.digest() != before[0]


class Client:
    def __init__(self):
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (threading.Lock, "'value', an object of type _thread.lock"),
        (threading.Event, "'value', an object of type threading.Event"),
        (Client, r"'value.lock', an object of type _thread.lock"),
        (lambda: {"a": [Client()]}, r"\"value\['a'\].lock\""),
        (lambda: (each for each in "ab"), "'value', an object of type builtins.gen"),
        (lambda: np.zeros(200_000), "'value', an object of type numpy.ndarray"),
        (
            lambda: [Settings(n) for n in range(2_000)],
            r"'value', an object of type .*test_identity.Settings",
        ),
        (type("Linear", (), {"__module__": "torch.nn"}), "of type torch.nn.Linear"),
        (lambda: functools.reduce(lambda inner, _: [inner], range(5_000), Settings()), "'value'"),
        (lambda: functools.partial(inner, threading.Lock()), "type _thread.lock"),
        (lambda: Client().__init__, "'value.self.lock'"),
    ],
)
def test_unidentifiable_closure_needs_a_version(make, named):
    function = closing_over(make())
    with pytest.raises(ExpressionError, match=named) as error:
        bb.udf(function)
    assert 'version="1"' in error.value.hint
    assert bb.udf(function, version="1").version == "1"


def test_open_file_in_a_closure_needs_a_version(tmp_path):
    with (tmp_path / "a.txt").open("w") as file:
        with pytest.raises(ExpressionError, match="TextIOWrapper that has no stable identity"):
            bb.query(closing_over(file))
        assert bb.query(closing_over(file), version="1").version == "1"


def test_every_decorator_accepts_a_version_for_its_closure():
    lock = threading.Lock()

    def rows(text: str):
        with lock:
            yield {"x": text}

    class Count:
        def __init__(self):
            self.n = 0

        def update(self, x: int) -> None:
            with lock:
                self.n += 1

        def value(self) -> int:
            return self.n

    for decorate, what in (
        (functools.partial(bb.iterator, return_type={"x": str}), rows),
        (bb.uda, Count),
    ):
        with pytest.raises(ExpressionError, match=r"closes over '.*lock'"):
            decorate(what)
        decorate(what, version="1")


LOCK = threading.Lock()


def test_module_level_client_needs_no_version(session):
    @bb.udf
    def locked(x: str) -> str:
        with LOCK:
            return x.upper()

    table = bb.create_table("t", [{"x": "a"}])
    assert table.select(y=locked(table.x)).collect()["y"] == ["A"]


SETTINGS = Settings()


def test_module_level_objects_are_part_of_the_version(session, monkeypatch):
    @bb.udf
    def limited(x: str) -> str:
        return x * SETTINGS.limit

    table = bb.create_table("t", [{"x": "a"}])
    table.add_computed_column(y=limited(table.x))
    monkeypatch.setattr(SETTINGS, "limit", 2)
    assert table.stale()["column"] == ["y"]
    monkeypatch.setattr(SETTINGS, "limit", 1)
    assert table.stale() == []


MANY = [Settings(n) for n in range(3_000)]


def test_many_module_level_objects_do_not_slow_calls(session):
    @bb.udf
    def counted(x: str) -> int:
        return len(MANY)

    table = bb.create_table("t", [{"x": "a"}])
    counted(table.x)
    started = time.process_time()
    counted(table.x)
    assert time.process_time() - started < 1
    assert table.select(y=counted(table.x)).collect()["y"] == [3_000]


def test_digest_covers_the_code_of_a_closed_over_class():
    def model(body):
        scope = {"__name__": "mine"}
        exec(f"class M:\n    def ask(self, x):\n        return {body}\n", scope)
        return scope["M"]()

    one, other = Source(closing_over(model("x"))), Source(closing_over(model("x + x")))
    assert one.closure.digest() == other.closure.digest()
    assert one.digest() != other.digest()


def test_function_is_found_after_its_closure_changed(session):
    @bb.udf
    def put(x: str) -> str:
        return x + mark

    mark = ""  # assigned after the function is defined
    table = bb.create_table("t", [{"x": "a"}])
    table.add_computed_column(y=put(table.x))
    mark = "!"
    assert table.stale()["column"] == ["y"]
    table.recompute(where="stale")
    assert table.collect()["y"] == ["a!"]


# -- In expressions --------------------------------------------------------------------------------


def retriever(table):
    @bb.query
    def top(k: int):
        return table.filter(table.k == k).select(table.w)

    return top


@pytest.fixture
def two(session):
    return [bb.create_table(name, [{"k": 1, "w": name}]) for name in ("small", "large")]


def test_factory_queries_read_their_own_tables(two):
    first, second = map(retriever, two)
    table = bb.create_table("q", [{"k": 1}])
    assert table.select(a=first(table.k), b=second(table.k)).collect() == [
        {"a": [{"w": "small"}], "b": [{"w": "large"}]}
    ]
    table.add_computed_column(a=first(table.k), b=second(table.k))
    view = bb.create_view("v", table.select(table.k, c=first(table.k), d=second(table.k)))
    table.insert(k=1)
    rows = table.collect()
    assert (rows["a"], rows["b"]) == ([[{"w": "small"}]] * 2, [[{"w": "large"}]] * 2)
    rows = view.collect()
    assert (rows["c"], rows["d"]) == ([[{"w": "small"}]] * 2, [[{"w": "large"}]] * 2)
    assert table.stale() == view.stale() == []


def test_ledger_separates_functions_of_a_factory(session):
    def make(model):
        @bb.udf(cache=True)
        def ask(x: str) -> str:
            return model.ask(x)

        return ask

    table = bb.create_table("t", [{"x": "q"}])
    models = [Model("A"), Model("B")]
    for model in models:
        assert table.select(r=make(model)(table.x)).collect()["r"] == [f"{model.name}:q"]
    for model in models:  # recreated
        assert table.select(r=make(Model(model.name))(table.x)).collect()["r"] == [
            f"{model.name}:q"
        ]
    assert [model.asked for model in models] == [1, 1]
    assert bb.calls().count().execute() == 2


def test_explicit_versions_distinguish_functions_with_clients(session):
    def make(name, client):
        @bb.udf(cache=True, version=name)
        def ask(x: str) -> str:
            with client.lock:
                return f"{name}:{x}"

        return ask

    table = bb.create_table("t", [{"x": "q"}])
    a, b = make("A", Client()), make("B", Client())
    table.add_computed_column(a=a(table.x), b=b(table.x))
    make("B", Client()), make("A", Client())
    table.insert(x="r")
    assert table.order_by("x").select("a", "b").collect() == [
        {"a": "A:q", "b": "B:q"},
        {"a": "A:r", "b": "B:r"},
    ]
    assert table.stale() == []


def adding(k, version="1", cache=False, what=None):
    @bb.udf(version=version, cache=cache)
    def add(x: int) -> int:
        ADDED.append((x, k, what is None))
        return x + k

    return add


ADDED: list = []


def test_explicit_version_does_not_merge_functions(session):
    table = bb.create_table("t", [{"x": 1}])
    table.add_computed_column(a=adding(1)(table.x), b=adding(100)(table.x))
    view = bb.create_view("v", table.select(table.x, c=adding(1)(table.x), d=adding(100)(table.x)))
    adding(100), adding(1)  # recreated in another order
    table.insert(x=2)
    assert table.select("a", "b").collect() == [{"a": 2, "b": 101}, {"a": 3, "b": 102}]
    assert view.select("c", "d").collect() == [{"c": 2, "d": 101}, {"c": 3, "d": 102}]
    assert adding(1).version == "1"
    assert table.stale() == view.stale() == []
    registry.GENERATIONS.pop(adding(1).name)  # as in a new process
    adding(1, "2"), adding(100, "2")
    assert table.stale()["column"] == ["a", "b"]
    table.recompute(where="stale")
    view.recompute(where="stale")
    table.insert(x=3)
    assert table.select("a", "b").collect()[2] == {"a": 4, "b": 103}
    assert table.stale() == []


def test_ledger_separates_functions_of_one_version(session):
    table = bb.create_table("t", [{"x": 1}])
    ADDED.clear()
    for _ in range(2):
        for k in (1, 100):
            assert table.select(r=adding(k, cache=True)(table.x)).collect()["r"] == [1 + k]
    assert [k for _, k, _ in ADDED] == [1, 100]


def test_tools_separate_functions_of_one_version(session):
    table = bb.create_table("t", {"said": bb.Json})
    asked = {"name": "add", "arguments": '{"x": 1}'}
    table.insert(said={"choices": [{"message": {"tool_calls": [{"function": asked}]}}]})
    tools = [bb.tools(adding(k)) for k in (1, 100)]
    answers = [bb.invoke_tools(each, table.said) for each in tools]
    assert table.select(a=answers[0], b=answers[1]).collect() == [
        {"a": {"add": [2]}, "b": {"add": [101]}}
    ]


def test_explicit_version_alone_matches_without_an_equal_closure(session):
    table = bb.create_table("t", [{"x": 1}])
    table.add_computed_column(a=adding(1)(table.x))
    registry.GENERATIONS.pop(adding(1).name)  # as in a new process
    adding(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table.insert(x=1)
    assert table.collect()["a"] == [2, 6]
    assert table.stale() == []


def test_older_calls_with_only_a_version_are_found(session, monkeypatch):
    table = bb.create_table("t", [{"x": 1}])
    ADDED.clear()
    with monkeypatch.context() as patched:  # as older versions stored them
        patched.setattr(registry.Function, "closure_hash", "")
        made = adding(1, cache=True)
        table.add_computed_column(a=made(table.x))
    registry.GENERATIONS.pop(made.name)
    made = adding(1, cache=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table.insert(x=2)
    assert table.collect()["a"] == [2, 3]
    assert table.stale() == []
    assert table.select(r=made(table.x)).collect()["r"] == [2, 3]  # from the ledger
    assert [x for x, _, _ in ADDED] == [1, 2]
    # Such an answer does not record which of the two functions gave it.
    assert table.select(r=adding(7, cache=True)(table.x)).collect()["r"] == [8, 9]


class Refusing:
    def __reduce_ex__(self, protocol):
        raise AssertionError("is not taken apart")

    @property
    def __barbule_identity__(self):
        raise AssertionError("is not asked")


@pytest.mark.parametrize(
    "make",
    [
        threading.Lock,
        Refusing,
        lambda: np.zeros(200_000),
        lambda: functools.reduce(lambda inner, _: [inner], range(5_000), Settings()),
        lambda: (each for each in "ab"),
    ],
)
def test_unidentifiable_closure_is_ignored_with_a_version(make, session):
    table = bb.create_table("t", [{"x": 1}])
    one, other = adding(1, what=make()), adding(100, what=make())
    assert adding(1, what=make()).closure_hash == one.closure_hash
    assert table.select(a=one(table.x), b=other(table.x)).collect() == [{"a": 2, "b": 101}]
    assert bb.udf(closing_over(make()), version="1").closure_hash == ""


def test_identifiable_parts_count_with_a_version():
    def make(name):
        client = Client()
        client.name = name
        return bb.udf(closing_over(client), version="1").closure_hash

    assert make("a") == make("a") != make("b")


def test_mutable_closure_is_ignored_with_a_version(session):
    def counting(k):
        seen = []

        @bb.udf(version="1")
        def count(x: int) -> int:
            seen.append(x)
            return k

        return count

    table = bb.create_table("t", [{"x": 1}])
    table.add_computed_column(a=counting(1)(table.x), b=counting(2)(table.x))
    table.insert(x=2)
    counting(2), counting(1)
    table.insert(x=3)
    assert (table.collect()["a"], table.collect()["b"]) == ([1] * 3, [2] * 3)


def test_methods_partials_and_callable_objects_are_distinct(session):
    table = bb.create_table("t", [{"x": "q"}])

    def plus(x: str, end: str) -> str:
        return x + end

    functions = {
        "m": bb.udf(Model("M").ask),
        "n": bb.udf(Model("N").ask),
        "p": bb.udf(functools.partial(plus, end="1")),
        "q": bb.udf(functools.partial(plus, end="2")),
        "r": bb.udf(Callable(1)),
        "s": bb.udf(Callable(2)),
    }
    table.add_computed_column(**{name: each(table.x) for name, each in functions.items()})
    expected = {"m": "M:q", "n": "N:q", "p": "q1", "q": "q2", "r": "q1", "s": "q2"}
    assert table.drop("x").collect() == [expected]
    table.insert(x="q")
    assert table.drop("x").collect() == [expected] * 2


def test_computed_defaults_distinguish_functions(session):
    table = bb.create_table("t", [{"x": "q"}])
    made = []
    for mark in "ab":

        @bb.udf
        def put(x: str, end: str = mark) -> str:
            return x + end

        made.append(put)
    assert [each.version for each in made] == [made[0].version, made[1].version]
    assert table.select(a=made[0](table.x), b=made[1](table.x)).collect() == [
        {"a": "qa", "b": "qb"}
    ]


def test_functions_in_branches_of_a_factory_are_distinct(session):
    def make(loud):
        if loud:

            @bb.udf
            def f(x: str) -> str:
                return x.upper()

        else:

            @bb.udf
            def f(x: str) -> str:
                return x.lower()

        return f

    table = bb.create_table("t", [{"x": "Q"}])
    loud, quiet = make(True), make(False)
    table.add_computed_column(a=loud(table.x), b=quiet(table.x))
    table.insert(x="R")
    assert sorted(table.collect()["b"]) == ["q", "r"]
    assert sorted(table.collect()["a"]) == ["Q", "R"]


def test_factory_aggregates_and_iterators_are_distinct(session):
    def aggregate(mark):
        @bb.uda
        class Joined:
            def __init__(self):
                self.parts = []

            def update(self, x: str) -> None:
                self.parts.append(x)

            def value(self) -> str:
                return mark.join(self.parts)

        return Joined

    def splitting(mark):
        @bb.iterator(return_type={"part": str})
        def parts(text: str):
            for each in text.split(mark):
                yield {"part": each}

        return parts

    table = bb.create_table("t", [{"x": "a-b"}, {"x": "a+c"}])
    plus, minus = aggregate("+"), aggregate("-")
    found = table.agg(p=plus(table.x, order_by=table.x), m=minus(table.x, order_by=table.x))
    assert found.collect() == [{"p": "a+c+a-b", "m": "a+c-a-b"}]
    first = bb.create_view("first", table, iterator=splitting("-")(table.x))
    second = bb.create_view("second", table, iterator=splitting("+")(table.x))
    table.insert(x="d-e+f")
    assert sorted(first.collect()["part"]) == ["a", "a+c", "b", "d", "e+f"]
    assert sorted(second.collect()["part"]) == ["a", "a-b", "c", "d-e", "f"]


def test_exec_functions_without_a_module_are_named_by_source(session):
    made = []
    for body in ("x + '!'", "x + '?'"):
        scope: dict = {}
        exec(f"def f(x):\n    return {body}", scope)
        made.append(bb.udf(scope["f"], return_type=str))
    assert made[0].name != made[1].name
    table = bb.create_table("t", [{"x": "q"}])
    table.add_computed_column(a=made[0](table.x), b=made[1](table.x))
    table.insert(x="r")
    assert table.order_by("x").collect()["a"] == ["q!", "r!"]


def test_replaced_function_is_rejected(session):
    def define(end):
        scope = {"__name__": "mine"}
        exec(f"def f(x: str) -> str:\n    return x + {end!r}", scope)
        return bb.udf(scope["f"], name="shout")

    one, two = define("!"), define("?")
    table = bb.create_table("t", [{"x": "q"}])
    with pytest.raises(ExpressionError, match="another function with the name 'shout'"):
        one(table.x)
    assert one("q") == "q!"
    assert table.select(y=two(table.x)).collect()["y"] == ["q?"]
    again = define("?")  # an equal definition
    assert table.select(y=two(table.x), z=again(table.x)).collect() == [{"y": "q?", "z": "q?"}]


def test_function_with_another_closure_is_not_used(two):
    table = bb.create_table("q", [{"k": 1}])
    table.add_computed_column(a=retriever(two[0])(table.k))
    del registry.GENERATIONS[retriever(two[0]).name]  # as in a new process
    retriever(two[1])
    with pytest.raises(UnknownFunctionError, match="it closes over other values"):
        table.insert(k=1)
    assert table.stale() == []
    retriever(two[0])
    table.insert(k=1)
    assert table.collect()["a"] == [[{"w": "small"}]] * 2


PROCESS = """
import sys
import barbule as bb
bb.connect(vectors="exact:")

class Model:
    def __init__(self, name):
        self.name = name
    def ask(self, x):
        print("asked", self.name, x)
        return f"{self.name}:{x}"

def asking(model):
    @bb.udf(cache=True)
    def ask(x: str) -> str:
        return model.ask(x)
    return ask

def retriever(table):
    @bb.query
    def top(k: str):
        return table.filter(table.k == k).select(table.w)
    return top

tables = {name: bb.create_table(name, [{"k": "q", "w": name}], if_exists="ignore")
          for name in ("small", "large")}
made = {}
for name in sys.argv[1].split(","):
    made[name] = asking(Model(name)), retriever(tables[name])
t = bb.create_table("t", {"x": bb.String}, if_exists="ignore")
if len(sys.argv) > 2:
    t.insert(x="q")
    t.add_computed_column(**{f"ask_{name}": ask(t.x) for name, (ask, _) in made.items()})
    t.add_computed_column(**{f"top_{name}": top(t.x) for name, (_, top) in made.items()})
else:
    t.insert(x="q")
rows = t.collect()
print(*(rows[f"{kind}_{name}"] for kind in ("ask", "top") for name in tables), t.stale()["column"])
"""


def test_second_process_creates_the_functions_in_another_order():
    Path("mine_factory.py").write_text(PROCESS)

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "mine_factory.py", *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    def rows(count):
        asked = [str([f"{name}:q"] * count) for name in ("small", "large")]
        found = [str([[{"w": name}]] * count) for name in ("small", "large")]
        return " ".join([*asked, *found, "[]"])

    done = run("small,large", "first")
    assert done.stdout.splitlines()[-1] == rows(1), done.stderr
    assert done.stdout.count("asked") == 2
    done = run("large,small")
    assert done.stdout == rows(2) + "\n", done.stderr  # the ledger answers
    done = run("large")
    assert "UnknownFunctionError" in done.stderr
    assert "closes over other values" in done.stderr
