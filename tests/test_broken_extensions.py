"""Extension packages that break their interface: each error names the extension and the reason."""

from __future__ import annotations

import json
import textwrap

import pytest

from test_extensions import install, run

WRONGS = """
import sys
from barbule.errors import MediaError
from barbule.indexes.base import Candidates
from barbule.indexes.exact import ExactIndex, ExactStore
from barbule.media.documents import Block, DocumentText

class Empty: pass
EMPTY, NUMBER = Empty(), 7

class OpensNothing:
    def open_backend(self, url, lock_timeout=60, home=None): return Empty()
    def is_persistent(self, url): return True

class Raises(OpensNothing):
    def open_backend(self, url, lock_timeout=60, home=None): raise RuntimeError("extinct")

class Exits(OpensNothing):
    def open_backend(self, url, lock_timeout=60, home=None): sys.exit(3)

class Unsure(OpensNothing):
    def is_persistent(self, url): return "maybe"

class NoArguments(OpensNothing):
    def open_backend(self): return Empty()

nothing, raising, exiting, unsure, narrow = (
    OpensNothing(), Raises(), Exits(), Unsure(), NoArguments()
)

def index_none(address, graph): return None
def index_noargs(): return None
def index_raises(address, graph): raise RuntimeError("no wings")
def index_empty(address, graph): return Empty()

def store_of(index):
    class Store(ExactStore):
        def __init__(self, address, graph): super().__init__()
        def open(self, name, dimension, metric): return index(name, dimension, metric)
    return Store

class Unable(ExactIndex):
    def search(self, query, k): raise RuntimeError("fell off the perch")
class Quits(ExactIndex):
    def search(self, query, k): raise SystemExit(3)
class Rubbish(ExactIndex):
    def search(self, query, k): return [1]
class Scores(ExactIndex):
    def search(self, query, k):
        return [Candidates(c.ids, -c.distances) for c in super().search(query, k)]
class Shorter(ExactIndex):
    def search(self, query, k):
        return [Candidates(c.ids, c.distances[:-1]) for c in super().search(query, k)]
class Writes(ExactIndex):
    def upsert(self, ids, vectors): raise RuntimeError("no room in the nest")
class Narrow(ExactIndex):
    def search(self, query): return []

opens_empty = store_of(lambda name, dimension, metric: Empty())
unable, quits, rubbish, scores, shorter, writes, narrow_index = map(
    store_of, (Unable, Quits, Rubbish, Scores, Shorter, Writes, Narrow)
)

def raises(path): raise ValueError("line 3: bad feather")
def exits(path): raise SystemExit(3)
class Panic(BaseException): pass
def panics(path): raise Panic("wings")
def returns_str(path): return path.read_text()
def returns_none(path): pass
def no_arguments(): pass
def own_error(path):
    class NestError(MediaError): pass
    raise NestError("this nest is empty.", hint="Add eggs.")
def text_blocks(path): return DocumentText("t", ("a",))
def empty_block(path): return DocumentText("t", (Block("x"), Block(" ")))
def odd_title(path): return DocumentText(7, ())
def odd_page(path): return DocumentText("t", (Block("x", page="one"),), pages=1)
def page_beyond(path): return DocumentText("t", (Block("x", page=3),), pages=2)
def odd_metadata(path): return DocumentText("t", (), {"nest": object()})
def listed(path): return DocumentText("t", [Block("a list")])
"""
READERS = {
    "r1": "wrongs:raises", "r2": "wrongs:exits", "r3": "wrongs:panics", "r4": "wrongs:returns_str",
    "r5": "wrongs:returns_none", "r6": "wrongs:no_arguments", "r7": "wrongs:own_error",
    "r8": "wrongs:text_blocks", "r9": "wrongs:empty_block", "r10": "wrongs:odd_title",
    "r11": "wrongs:odd_page", "r12": "wrongs:page_beyond", "r13": "wrongs:odd_metadata",
    "r14": "wrongs:NUMBER", "r15": "wrongs:nowhere", "r16": "nowhere:read", "r17": "exiting:read",
    "r18": "wrongs:raises", ".R19": "wrongs:listed", "r20.x": "wrongs:listed",
}  # fmt: skip
BACKENDS = {
    "lost": "wrongs.missing", "empty": "wrongs:EMPTY", "cls": "wrongs:OpensNothing",
    "nothing": "wrongs:nothing", "raising": "wrongs:raising", "exiting": "wrongs:exiting",
    "unsure": "wrongs:unsure", "narrow": "wrongs:narrow", "duckdb": "wrongs:nothing",
    "lark_one": "wrongs:nothing", "magpie": "wrongs:nothing",
}  # fmt: skip
INDEXES = {
    "inone": "wrongs:index_none", "inoargs": "wrongs:index_noargs",
    "iraises": "wrongs:index_raises",
    "iempty": "wrongs:index_empty", "iopens": "wrongs:opens_empty", "iunable": "wrongs:unable",
    "iquits": "wrongs:quits", "irubbish": "wrongs:rubbish", "iscores": "wrongs:scores",
    "ishorter": "wrongs:shorter", "iwrites": "wrongs:writes", "inarrow": "wrongs:narrow_index",
    "inumber": "wrongs:NUMBER",
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    (site / "wrongs.py").write_text(WRONGS)
    (site / "exiting.py").write_text("raise SystemExit('at import')\n")
    groups = {
        "barbule.readers": READERS,
        "barbule.backends": BACKENDS,
        "barbule.indexes": INDEXES,
        "barbule.backend": {"stork": "wrongs:nothing"},
    }
    install(site, "wrongs", groups)
    install(site, "third", {"barbule.readers": {"r18": "wrongs:exits"}})
    return site


def outcomes(site, folder, program):
    """Run a program that fills `outcomes`, and return them."""
    lines = [
        "import json, warnings, barbule as bb",
        "outcomes = {}",
        textwrap.dedent(program),
        "print(json.dumps(outcomes))",
    ]
    result = run(site, folder, "-W", "error::ResourceWarning", "-c", "\n".join(lines))
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


# Readers

READER_ERRORS = {
    "r1": "a.r1 cannot be read: the reader 'r1' of package 'wrongs' raised ValueError: line 3: bad",
    "r2": "a.r2 cannot be read: the reader 'r2' of package 'wrongs' raised SystemExit: 3.",
    "r3": "a.r3 cannot be read: the reader 'r3' of package 'wrongs' raised Panic: wings.",
    "r4": "the reader 'r4' of package 'wrongs' returned str, not DocumentText, for ",
    "r5": "the reader 'r5' of package 'wrongs' returned None, not DocumentText, for ",
    "r6": "reader 'r6' of package 'wrongs' takes the arguments (), but it is called with (path)",
    "r7": "a.r7 cannot be read: the reader 'r7' of package 'wrongs': this nest is empty.",
    "r8": "'wrongs' returned a DocumentText whose blocks[0] is str, not Block, for ",
    "r9": "'wrongs' returned a DocumentText whose blocks[1].text is empty, for ",
    "r10": "'wrongs' returned a DocumentText whose title is int, not str or None, for ",
    "r11": "'wrongs' returned a DocumentText whose blocks[0].page is str, not int or None, for ",
    "r12": "returned a DocumentText whose pages is 2, but a block is on page 3, for ",
    "r13": "returned a DocumentText whose metadata is not valid JSON",
    "r14": "the reader 'r14' of package 'wrongs' cannot be called: it is int.",
    "r15": "the extension 'r15' of package 'wrongs' cannot be loaded (AttributeError: ",
    "r16": "the extension 'r16' of package 'wrongs' cannot be loaded (ModuleNotFoundError: ",
    "r17": "the extension 'r17' of package 'wrongs' cannot be loaded (SystemExit: at import)",
    "r18": "'r18' is declared in 'barbule.readers' by package 'third' and package 'wrongs'.",
    "r20.x": "The name 'r20.x' of package 'wrongs' is ignored: a name consists of letters, digits",
}
READ = """
    from pathlib import Path
    for name in {names}:
        Path(f"a.{{name}}").write_text("hello")
        with bb.connect("duckdb://"):
            checked = bb.create_table("checked", {{"f": bb.Document}})
            try:
                checked.insert(f=f"a.{{name}}")
                insert = None
            except bb.errors.BarbuleError as error:
                insert = str(error)
            t = bb.create_table("t", {{"f": bb.Document}}, media_validation="on_read")
            t.insert(f=f"a.{{name}}")
            try:
                query = t.select(x=t.f.text()).collect()["x"][0]
            except bb.errors.BarbuleError as error:
                query = str(error)
            t.add_computed_column(x=t.f.text(), on_error="null")
            row = t.select("x", e=t.x.error).collect()[0]
            outcomes[name] = [insert, query, row["x"], row["e"] and row["e"]["message"]]
"""


@pytest.fixture(scope="module")
def reader_outcomes(site, tmp_path_factory):
    names = [*READER_ERRORS, "r19", "R19"]
    return outcomes(site, tmp_path_factory.mktemp("read"), READ.format(names=names))


@pytest.mark.parametrize("name", READER_ERRORS)
def test_wrong_reader_is_named_on_insert_in_a_query_and_in_a_cell(reader_outcomes, name):
    insert, query, value, cell = reader_outcomes[name]
    for error in (insert, query, cell):
        assert READER_ERRORS[name] in error
        assert "damaged" not in error
    assert value is None
    assert "column 'f', row 0" in insert


def test_name_of_a_reader_is_normalized(reader_outcomes):
    assert reader_outcomes["r19"] == [None, "a list", "a list", None]
    assert reader_outcomes["R19"] == [None, "a list", "a list", None]


def test_wrong_reader_is_named_from_a_reader_process(site, tmp_path):
    (tmp_path / "barbule.toml").write_text("[media]\nisolate = true\n")
    names = ["r1", "r2", "r3", "r4", "r7", "r13", "r16"]
    found = outcomes(site, tmp_path, READ.format(names=names))
    for name in names:
        assert READER_ERRORS[name] in found[name][0]


def test_interrupt_by_the_user_ends_a_reader(site, tmp_path):
    (site / "waits.py").write_text(
        "import os, signal, time\n"
        "def read(path):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(30)\n"
    )
    install(site, "waits", {"barbule.readers": {"wait": "waits:read"}})
    program = """
        from pathlib import Path
        from barbule.media.documents import read_document
        Path("a.wait").write_text("x")
        try:
            read_document(Path("a.wait"))
        except KeyboardInterrupt:
            outcomes["interrupted"] = True
    """
    assert outcomes(site, tmp_path, program) == {"interrupted": True}


# Backends

BACKEND_ERRORS = {
    "lost": "the extension 'lost' of package 'wrongs' cannot be loaded (ModuleNotFoundError",
    "empty": "the backend 'empty' of package 'wrongs' (Empty) lacks open_backend, is_persistent.",
    "cls": "the backend 'cls' of package 'wrongs' is the class OpensNothing, not an instance of it",
    "nothing": "opened an object that is no backend: it (Empty) lacks name, many_writers, ",
    "raising": "the backend 'raising' of package 'wrongs' failed when it opened the database: "
    "RuntimeError: extinct.",
    "exiting": "failed when it opened the database: SystemExit: 3.",
    "unsure": "the backend 'unsure' of package 'wrongs' returned 'maybe' from is_persistent",
    "narrow": "has the method open_backend(), but it is called as open_backend(url, lock_timeout, ",
    "lark_one": "package 'wrongs' declares the backend 'lark_one', which is not a valid name.",
    "lark-one": "The name 'lark_one' of package 'wrongs' is ignored: a name consists of letters",
    "stork": "The package 'wrongs' declares 'stork' in 'barbule.backend', which is not read: its "
    "author must use 'barbule.backends'.",
    "crow": "If a package provides 'crow', check that it is installed.",
    "mine": "has the unknown scheme 'mine'. (value: 'mine:///x') Allowed schemes: duckdb, "
    "postgres, postgresql, cls, empty, exiting, lost, magpie, narrow, nothing, raising, unsure. If",
    "raisin": "Did you mean 'raising'? Allowed schemes: ",
    "sqlite": "there is no backend for 'sqlite'. Supported schemes: cls, duckdb, empty, exiting, ",
}


@pytest.fixture(scope="module")
def backend_outcomes(site, tmp_path_factory):
    program = f"""
        for name in {list(BACKEND_ERRORS)}:
            try:
                bb.connect(f"{{name}}:///x")
            except bb.errors.ConfigurationError as error:
                outcomes[name] = str(error)
    """
    return outcomes(site, tmp_path_factory.mktemp("connect"), program)


@pytest.mark.parametrize("name", BACKEND_ERRORS)
def test_wrong_backend_is_named(backend_outcomes, name):
    assert BACKEND_ERRORS[name] in backend_outcomes[name]


def test_invalid_name_is_no_part_of_unrelated_hints(backend_outcomes):
    reporting = [name for name, error in backend_outcomes.items() if "lark_one" in error]
    assert reporting == ["lark_one", "lark-one"]


# Indexes

INDEX_ERRORS = {
    "inone": "the index 'inone' of package 'wrongs' returned an object that is no store: it (None) "
    "lacks usable, reason, open, drop, close.",
    "inoargs": "takes the arguments (), but it is called with (address, graph).",
    "iraises": "the index 'iraises' of package 'wrongs' failed when it opened the store: "
    "RuntimeError: no wings.",
    "iempty": "returned an object that is no store: it (Empty) lacks usable, ",
    "iopens": "opened an object that is no index: it (Empty) lacks name, watermark, ",
    "inarrow": "has the method search(query), but it is called as search(query, k)",
    "inumber": "the index 'inumber' of package 'wrongs' cannot be called: it is int.",
}
INDEX_WARNINGS = {
    "iunable": ": search: RuntimeError: fell off the perch.",
    "iquits": ": search: SystemExit: 3.",
    "irubbish": ": search returned [1], not a list of Candidates.",
    "iscores": ": search returned distances that do not ascend: ",
    "ishorter": " distances for ",
}
SEARCH = """
    @bb.udf(version="1", batch_size=64)
    def embed(texts: list[str]) -> list[bb.Vector(2)]:
        return [[float(len(text)), 1.0] for text in texts]

    for name in {names}:
        url = f"{{name}}:"
        with bb.connect("duckdb://", vectors=url), warnings.catch_warnings(record=True) as w:
            warnings.simplefilter("always")
            t = bb.create_table("t", [{{"s": "a" * size}} for size in range(1, 99)])
            t.add_embedding_index("s", string_embed=embed, metric="l2")
            nearest = t.order_by(t.s.similarity("a" * 7), asc=False).limit(1)
            found = []
            for _ in range(2):
                bb.check()  # waits for the index
                try:
                    found.append(len(nearest.collect()["s"][0]))
                except bb.errors.BarbuleError as error:
                    found.append(str(error))
            shown = [str(each.message) for each in w if each.category is RuntimeWarning]
            outcomes[name] = [found, shown, repr(bb.check())]
            bb.drop_table("t")
"""


def test_index_without_its_colon_is_named(site, tmp_path):
    program = """
        try:
            bb.connect("duckdb://", vectors="iunable")
        except bb.errors.ConfigurationError as error:
            outcomes["error"] = str(error)
    """
    assert outcomes(site, tmp_path, program)["error"].endswith("Write 'iunable:'.")


@pytest.fixture(scope="module")
def index_outcomes(site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    (folder / "barbule.toml").write_text("[search]\nmax_matrix_bytes = 0\n")
    names = [*INDEX_ERRORS, *INDEX_WARNINGS, "iwrites"]
    return outcomes(site, folder, SEARCH.format(names=names))


@pytest.mark.parametrize("name", INDEX_ERRORS)
def test_object_that_is_no_index_is_an_error_of_searches(index_outcomes, name):
    found, _, check = index_outcomes[name]
    assert all(INDEX_ERRORS[name] in error for error in found)
    assert INDEX_ERRORS[name].rstrip(".") in check


@pytest.mark.parametrize("name", INDEX_WARNINGS)
def test_failing_search_is_exact_with_one_warning(index_outcomes, name):
    found, shown, check = index_outcomes[name]
    assert found == [7, 7]
    (warning,) = shown
    assert f"the index {name!r} of package 'wrongs' failed in the index 't" in warning
    assert INDEX_WARNINGS[name] in warning
    assert INDEX_WARNINGS[name].rstrip(".") in check


def test_index_that_cannot_be_written_is_reported_by_check(index_outcomes):
    found, shown, check = index_outcomes["iwrites"]
    assert (found, shown) == ([7, 7], [])
    assert "the index 'iwrites' of package 'wrongs' failed in the index 't" in check
    assert ": upsert: RuntimeError: no room in the nest." in check
