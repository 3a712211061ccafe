"""Changed functions: detected in every process, and stale cells are recomputed."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

import barbule as bb
from barbule.errors import MixedVersionsWarning, UnknownFunctionError
from barbule.functions.identity.source_hash import Source


def module(name: str, text: str):
    """Write a user module and reimport it."""
    Path(f"{name}.py").write_text(textwrap.dedent(text))
    importlib.invalidate_caches()
    sys.modules.pop(name, None)
    sys.path.insert(0, ".")
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(".")


@pytest.fixture(autouse=True)
def _forget_modules():
    known = set(sys.modules)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    yield
    sys.dont_write_bytecode = before
    for name in set(sys.modules) - known:
        if name.startswith("mine"):
            del sys.modules[name]


def digests(first: str, second: str, name: str = "f") -> tuple[str, str]:
    found = []
    for text in (first, second):
        made = module("mine0", text)
        found.append(Source(getattr(made, name)).digest())
    return found[0], found[1]


BASE = """
    import math
    LIMIT = 3
    NAMES = ["a", "b"]
    CACHE = {}
    KNOWN = set()
    def learn(x):
        KNOWN.add(x)
    def helper(x):
        return x + LIMIT
    class Shape:
        sides = 4
        def area(self):
            return self.sides
    def f(x):
        '''Say something.'''
        CACHE[x] = 1
        return helper(x) + len(NAMES) + (x in KNOWN) + Shape().area() + math.pi  # a comment
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ('["a", "b"]', '["a", "c"]'),
        ("x + LIMIT", "x - LIMIT"),
        ("sides = 4", "sides = 5"),
        ("return self.sides", "return self.sides + 1"),
        ("math.pi", "math.e"),
    ],
)
def test_digest_covers_what_a_function_reads(old, new):
    one, other = digests(BASE, BASE.replace(old, new))
    assert one != other


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # a comment", ""),
        ("Say something", "Say anything"),
        ("import math", "import math, json\n    UNREAD = 1"),
        ("CACHE = {}", "CACHE = {1: 2}"),
        ("KNOWN = set()", "KNOWN = {1}"),
        ("def f(x):", "\n\n    def f( x ):"),
    ],
)
def test_digest_ignores_what_does_not_change_results(old, new):
    one, other = digests(BASE, BASE.replace(old, new))
    assert one == other


def test_digest_covers_helpers_of_user_modules_and_handles_cycles():
    helpers = "def clean(x):\n    return again(x)\ndef again(x):\n    return clean(x) if x else 1\n"
    user = "import mine_helpers\ndef f(x):\n    return mine_helpers.clean(x)\n"
    module("mine_helpers", helpers)
    one = Source(module("mine0", user).f).digest()
    module("mine_helpers", helpers.replace("else 1", "else 2"))
    assert Source(module("mine0", user).f).digest() != one


def test_digest_tells_closures_lambdas_and_exec_functions_apart():
    def make(k):
        return lambda x: x + k

    assert Source(make(1)).digest() == Source(make(1)).digest() != Source(make(2)).digest()
    one, two = (lambda x: x + 1), (lambda x: x + 2)  # on one line
    assert Source(one).digest() != Source(two).digest()
    scope: dict = {}
    exec("def f(x):\n    def g(y):\n        return y\n    return g(x)", scope)
    first = Source(scope["f"]).digest()
    exec("def f(x):\n    def g(y):\n        return y\n    return g(x)", scope)
    assert Source(scope["f"]).digest() == first
    exec("def f(x):\n    def g(y):\n        return -y\n    return g(x)", scope)
    assert Source(scope["f"]).digest() != first


def test_digest_covers_a_helper_defined_later():
    text = "import barbule as bb\n@bb.udf\ndef f(x: int) -> int:\n    return later(x)\n"
    one = module("mine0", text + "def later(x):\n    return x\n").f.version
    assert module("mine0", text + "def later(x):\n    return -x\n").f.version != one


def test_functions_of_one_name_are_distinct(session):
    def adding(k):
        @bb.udf
        def add(n: int) -> int:
            return n + k

        return add

    one, ten = adding(1), adding(10)
    assert one.name == ten.name
    table = bb.create_table("t", [{"n": 1}])
    assert table.select(a=one(table.n), b=ten(table.n)).collect() == [{"a": 2, "b": 11}]
    table.add_computed_column(a=one(table.n), b=ten(table.n))
    table.insert(n=2)
    assert table.order_by("n").collect()["b"] == [11, 12]
    assert len(table.stale()) == 0
    del bb.functions.registry.GENERATIONS[one.name]
    adding(10), adding(11)
    with pytest.raises(UnknownFunctionError, match="several functions are named"):
        table.insert(n=3)


def test_lambdas_have_distinct_names(session):
    table = bb.create_table("t", [{"w": "aB"}])
    up = bb.udf(lambda w: w.upper(), return_type=str)
    down = bb.udf(lambda w: w.lower(), return_type=str)
    assert up.name != down.name
    table.add_computed_column(up=up(table.w), down=down(table.w))
    table.insert(w="Cd")
    assert table.order_by("w").collect()["up"] == ["CD", "AB"]
    del bb.functions.registry.GENERATIONS[up.name]
    with pytest.raises(UnknownFunctionError, match="A lambda is identified by its source text"):
        table.insert(w="e")


# -- Columns ---------------------------------------------------------------------------------------


def shouting(end: str):
    return module(
        "mine_words",
        f"""
        import barbule as bb
        END = {end!r}

        @bb.udf
        def shout(text: str) -> str:
            return text.upper() + END

        @bb.udf
        def size(text: str) -> int:
            return len(text)
        """,
    )


@pytest.fixture
def words(session):
    mine = shouting("!")
    table = bb.create_table("words", [{"w": "a"}, {"w": "bb"}])
    table.add_computed_column(loud=mine.shout(table.w), n=mine.size(table.w))
    table.add_computed_column(length=table.loud.length(), twice=mine.size(table.loud))
    return table


def test_changed_function_is_listed_as_stale_and_recomputed(words):
    assert len(words.stale()) == 0
    old = shouting("!").shout.version  # the notebook cell runs again unchanged
    assert len(words.stale()) == 0
    new = shouting("!!").shout.version
    found = words.stale()
    assert found == [
        {"column": "loud", "function": "mine_words.shout", "computed": [old], "current": new}
    ]
    mixing = r"'loud': the function 'mine_words.shout' that this process defines .*name="
    with pytest.warns(MixedVersionsWarning, match=mixing) as warned:
        words.insert(w="c")  # computed by the current function
    assert warned[0].filename == __file__
    assert sorted(words.collect()["loud"]) == ["A!", "BB!", "C!!"]
    assert words.stale() == found
    done = words.recompute(where="stale")
    assert done.rows == 3
    rows = words.order_by("w").collect()
    assert rows["loud"] == ["A!!", "BB!!", "C!!"]
    assert (rows["length"], rows["twice"]) == ([3, 4, 3], [3, 4, 3])
    assert len(words.stale()) == 0
    assert words.recompute(where="stale").rows == 0
    assert words.at(done.version - 1).order_by("w").collect()["loud"] == ["A!", "BB!", "C!!"]


def test_rows_of_an_intermediate_version_are_stale(words):
    shouting("?")
    with pytest.warns(MixedVersionsWarning):
        words.insert(w="c")
    shouting("!")
    assert words.stale()["column"] == ["loud"]
    words.recompute(where="stale")
    assert sorted(words.collect()["loud"]) == ["A!", "BB!", "C!"]
    assert len(words.stale()) == 0


def test_fully_recomputed_column_is_not_stale(words):
    shouting("?")
    words.recompute("loud", where=words.w == "a")
    assert words.stale()["column"] == ["loud"]
    words.recompute("n", where="stale")
    assert words.stale()["column"] == ["loud"]
    words.recompute("loud")
    assert len(words.stale()) == 0


def test_explicit_version_overrides_the_source(session):
    def define(text, version):
        scope: dict = {}
        exec(f"def f(w):\n    return {text!r}", scope)
        return bb.udf(scope["f"], name="mine.f", return_type=str, version=version)

    table = bb.create_table("t", [{"w": "a"}])
    table.add_computed_column(x=define("one", "1")(table.w))
    define("two", "1")
    assert len(table.stale()) == 0
    define("two", "2")
    assert table.stale() == [
        {"column": "x", "function": "mine.f", "computed": ["1"], "current": "2"}
    ]


def test_mixed_versions_warning_can_be_an_error(words):
    shouting("?")
    with warnings.catch_warnings():
        warnings.simplefilter("error", MixedVersionsWarning)
        with pytest.raises(MixedVersionsWarning, match="another notebook"):
            words.insert(w="c")
    assert words.count().execute() == 2
    assert words.stale()["column"] == ["loud"]


def test_empty_table_and_recompute_do_not_mix_versions(session):
    mine = shouting("!")
    words = bb.create_table("words", {"w": bb.String})
    words.add_computed_column(loud=mine.shout(words.w))
    shouting("?")
    words.insert(w="a")
    words.recompute()
    assert words.collect()["loud"] == ["A?"]
    shouting("!")
    words.recompute(where=words.w == "a")


def test_undefined_function_is_not_listed_as_stale(words):
    del bb.functions.registry.GENERATIONS["mine_words.shout"]
    assert len(words.stale()) == 0
    with pytest.raises(UnknownFunctionError, match=r"Import the module 'mine_words'"):
        words.insert(w="x")


def test_vectors_and_search_follow_a_changed_embedding(session):
    def define(scale):
        return module(
            "mine_embed",
            f"""
            import barbule as bb
            @bb.udf(batch_size=8)
            def embed(texts: list[str]) -> list[bb.Vector(2)]:
                return [[{scale} * len(text), 1.0] for text in texts]
            """,
        ).embed

    table = bb.create_table("t", [{"w": "a"}, {"w": "bbb"}])
    table.add_embedding_index("w", embedding=define(1.0), metric="ip")
    define(-1.0)
    assert table.stale()["column"] == ["w"]
    table.recompute(where="stale")
    assert len(table.stale()) == 0
    sim = table.w.similarity("cc")
    assert table.order_by(sim, asc=False).select(s=sim).collect()["s"] == [7.0, 3.0]


def test_rows_of_a_changed_iterator_are_recomputed(session):
    def define(mark):
        return module(
            "mine_split",
            f"""
            import barbule as bb
            @bb.iterator(return_type={{"part": str}})
            def split(text: str):
                for each in text.split({mark!r}):
                    yield {{"part": each}}
            @bb.udf
            def size(text: str) -> int:
                return len(text)
            """,
        )

    table = bb.create_table("t", [{"w": "a b,c"}])
    mine = define(" ")
    parts = bb.create_view("parts", table, iterator=mine.split(table.w))
    parts.add_computed_column(n=mine.size(parts.part))
    define(",")
    assert parts.stale()["column"] == [None]
    with pytest.warns(MixedVersionsWarning, match="table 'parts', rows of its iterator"):
        table.insert(w="d")
    table.delete(table.w == "d")
    assert parts.recompute(where="stale").rows == 2
    assert parts.order_by("pos").select("part", "n").collect() == [
        {"part": "a b", "n": 3},
        {"part": "c", "n": 1},
    ]
    assert len(parts.stale()) == 0


SCRIPT = """
import sys
import barbule as bb
bb.connect(vectors="exact:")

@bb.udf
def shout(text: str) -> str:
    return text.upper() + END

END = sys.argv[1]
if __name__ == "__main__":
    words = bb.create_table("words", {"w": bb.String}, if_exists="ignore")
    words.add_computed_column(loud=shout(words.w), if_exists="ignore")
    words.insert(w=sys.argv[2])
    print(words.stale()["column"], sorted(words.collect()["loud"]))
"""


def test_changed_script_is_detected_by_the_next_process():
    Path("mine_script.py").write_text(SCRIPT)

    def run(*arguments: str, mixed: bool = False) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert ("MixedVersionsWarning" in done.stderr) == mixed
        return done.stdout.strip()

    assert run("mine_script.py", "!", "a") == "[] ['A!']"
    assert run("mine_script.py", "!", "b") == "[] ['A!', 'B!']"
    assert run("mine_script.py", "?", "c", mixed=True) == "['loud'] ['A!', 'B!', 'C?']"
    assert run("-m", "mine_script", "?", "d", mixed=True) == "['loud'] ['A!', 'B!', 'C?', 'D?']"
    # An import of the script finds the same function.
    mend = "import mine_script as m; t = m.bb.get_table('words'); t.recompute(where='stale'); "
    mend += "print(t.stale()['column'], sorted(t.collect()['loud']))"
    assert run("-c", mend, "?") == "[] ['A?', 'B?', 'C?', 'D?']"


WITHOUT_TEXT = """
import warnings
import barbule as bb

CALLS, COUNTS, KEPT, RULES, RUNS = [], {}, {"seen": []}, [1], 0

def learn(x):
    COUNTS[x if x else 0] = COUNTS.get(x, 0)
    COUNTS[x] += 1
    KEPT["seen"].append(x)

@bb.udf
def note(x: int) -> int:
    global RUNS
    RUNS += 1
    CALLS.append(x)
    learn(x)
    return x + RULES[0] + 0 * len(LATER)

LATER = set()

@bb.udf
def later(x: int) -> int:
    LATER.add(x)
    return x

class Counting:
    def __init__(self, k):
        self.k, self.n, self.seen = k, 0, []

    def __call__(self, x: int) -> int:
        self.n += 1
        self.seen.append(x)
        return x + self.k

warnings.simplefilter("error")
bb.connect(vectors="exact:")
t = bb.create_table("t", {"x": int})
t.insert(x=0)
t.add_computed_column(a=note(t.x), b=later(t.x), c=bb.udf(Counting(1))(t.x))
t.add_computed_column(d=bb.udf(Counting(2))(t.x))
t.insert(x=1)
t.insert(x=2)
print(t.stale()["column"], len(CALLS), sorted(t.collect()["d"]))
RULES[0] = 2
print(t.stale()["column"])
"""


@pytest.mark.parametrize("command", [["-c", WITHOUT_TEXT], ["-"]])
def test_digest_without_source_ignores_mutated_globals(command):
    done = subprocess.run(
        [sys.executable, *command],
        check=False,
        input=WITHOUT_TEXT,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[] 3 [2, 3, 4]\n['a']\n", done.stderr


def test_older_digests_with_mutated_globals_are_recognized():
    scope: dict = {"__name__": "mine_shell", "CALLS": []}
    exec("def f(x):\n    CALLS.append(x)\n    return x", scope)
    function = bb.udf(scope["f"], return_type=int)
    before = function.source.filled_digest()
    assert before != function.version
    assert function.has_version(before)
    assert function.has_version(function.former_version)
    scope["CALLS"].append(1)
    assert function.version == bb.udf(scope["f"], return_type=int).version
