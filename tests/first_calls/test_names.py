"""Each public name and each session method can be the first use of barbule in a process."""

from __future__ import annotations

import pytest

import barbule as bb

BEGIN = "import barbule as bb\n"

USES = "t = bb.get_table('things')\nassert t.select(w=t.img.width()).collect()['w'].count(8) == 1\n"

# Expressions that must be true in a new process; a tuple has statements before it.
NAMES = {
    "Array": "bb.create_table('x', {'c': bb.Array(bb.Image)}).c.length() is not None",
    "ArrayType": "bb.create_table('x', {'c': bb.ArrayType(dtype=bb.Json)}).c[0].a is not None",
    "Audio": "bb.create_table('x', {'c': bb.Audio}).c.duration() is not None",
    "BarbuleError": "issubclass(bb.BarbuleError, Exception)",
    "Binary": "bb.create_table('x', [{'c': b'x'}]).c.type() == bb.Binary()",
    "Bool": "bb.create_table('x', {'c': bb.Bool}).c.any() is not None",
    "Date": "bb.create_table('x', {'c': bb.Date}).c.year() is not None",
    "Document": "bb.create_table('x', {'c': bb.Document}).c.text() is not None",
    "Duration": "bb.create_table('x', {'c': bb.Duration}).c.total_seconds() is not None",
    "Float": "bb.create_table('x', {'c': bb.Float}).c.round(1) is not None",
    "Image": "bb.create_table('x', {'c': bb.Image}).c.resize((2, 2)) is not None",
    "InsertResult": "bb.get_table('docs').insert(doc='note.md') == bb.InsertResult(1, 0, 2)",
    "Int": "bb.create_table('x', {'c': bb.Int}).c.sum() is not None",
    "Json": "bb.create_table('x', {'c': bb.Json}).c.a.b[0] is not None",
    "ResultSet": "isinstance(bb.get_table('things').collect(), bb.ResultSet)",
    "Session": "isinstance(bb.connect(), bb.Session)",
    "String": "bb.create_table('x', {'c': bb.String}).c.search('word') is not None",
    "Struct": "bb.create_table('x', {'c': bb.Struct({'i': bb.Image})}).c['i'].width() is not None",
    "Table": "isinstance(bb.get_table('things'), bb.Table)",
    "Time": "bb.create_table('x', {'c': bb.Time}).c.hour() is not None",
    "Timestamp": "bb.create_table('x', {'c': bb.Timestamp}).c.date() is not None",
    "UUID": "bb.create_table('x', {'c': bb.UUID}).c.cast('string') is not None",
    "Vector": "bb.create_table('x', {'c': bb.Vector(2)}).c[0] is not None",
    "Video": "bb.create_table('x', {'c': bb.Video}).c.duration() is not None",
    "at": "len(bb.at('release-1').get_table('things').collect()) == 3",
    "budget": (
        "with bb.budget(calls=1): n = len(bb.get_table('things').collect())",
        "n == 3",
    ),
    "calls": "len(bb.calls().collect()) >= 0",
    "check": "bool(bb.check())",
    "collect_media": "bb.collect_media(dry_run=True, shared=True).files == 0",
    "connect": "bb.connect().get_table('things').img.width() is not None",
    "create_table": "bb.create_table('x', {'img': 'string', 'n': int}).count().execute() == 0",
    "create_view": (
        "from ibis import _",
        "v = bb.create_view('x', bb.get_table('things').filter(_.img.width() > 3))",
        "v.collect()['n'] == [1]",
    ),
    "drop_dir": "bb.drop_dir('folder', cascade=True) is None",
    "drop_snapshot": "bb.drop_snapshot('release-1') is None",
    "drop_table": "bb.drop_table('things', cascade=True) is None",
    "errors": "issubclass(bb.errors.TableNotFoundError, bb.errors.BarbuleError)",
    "evict_calls": "bb.evict_calls(max_bytes=0) >= 0",
    "functions": "bb.functions.image.width(bb.get_table('things').img) is not None",
    "get_table": "bb.get_table('things').img.width() is not None",
    "invoke_tools": "callable(bb.invoke_tools)",
    "iterator": (
        "@bb.iterator",
        "def twice(image: bb.Image) -> list[bb.Struct({'w': bb.Int})]:",
        "    yield {'w': image.width}",
        "    yield {'w': image.height}",
        "t = bb.get_table('things')",
        "sorted(bb.create_view('x', t, iterator=twice(t.img)).collect()['w']) == [6, 8]",
    ),
    "list_dirs": "bb.list_dirs() == ['folder']",
    "list_snapshots": "bb.list_snapshots() == ['release-1']",
    "list_tables": "'things' in bb.list_tables()",
    "query": (
        "@bb.query",
        "def named(name: str):",
        "    t = bb.get_table('things')",
        "    return t.where(t.name == name).select(t.n, t.img)",
        "named('one').collect()[0]['img'].size == (8, 6)",
    ),
    "read_coco": (
        "import json",
        "import PIL.Image",
        "PIL.Image.new('RGB', (4, 4)).save('a.png')",
        "box = {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [0, 0, 2, 2]}",
        "image = {'id': 1, 'file_name': 'a.png', 'width': 4, 'height': 4}",
        "told = {'images': [image], 'annotations': [box], 'categories': [{'id': 1, 'name': 'a'}]}",
        "print(json.dumps(told), file=open('coco.json', 'w'), flush=True)",
        "bb.create_table('x', bb.read_coco('coco.json')).count().execute() == 1",
    ),
    "read_folder": (
        "import PIL.Image",
        "PIL.Image.new('RGB', (4, 4)).save('a.png')",
        "bb.create_table('x', bb.read_folder('*.png')).image.width() is not None",
    ),
    "read_huggingface": (
        "import datasets",
        "data = datasets.Dataset.from_dict({'n': [1]})",
        "bb.create_table('x', bb.read_huggingface(data)).count().execute() == 1",
    ),
    "read_parquet": (
        "import pyarrow as pa, pyarrow.parquet as pq",
        "cell = {'bytes': open('picture.png', 'rb').read(), 'path': 'picture.png'}",
        "pq.write_table(pa.table({'picture': [cell]}), 'x.parquet')",
        "bb.create_table('x', bb.read_parquet('x.parquet')).picture.width() is not None",
    ),
    "read_webdataset": (
        "import tarfile",
        "with tarfile.open('x.tar', 'w') as tar: tar.add('picture.png')",
        "bb.create_table('x', bb.read_webdataset('x.tar')).png.width() is not None",
    ),
    "record": (
        "with bb.record('calls.parquet'): n = len(bb.get_table('things').collect())",
        "n == 3",
    ),
    "replay": (
        "with bb.record('calls.parquet'): bb.get_table('things').collect()",
        "with bb.replay('calls.parquet'): n = len(bb.get_table('things').collect())",
        "n == 3",
    ),
    "snapshot": "bb.snapshot('now').get_table('things').img.width() is not None",
    "tool": (
        "@bb.udf",
        "def add(a: int, b: int) -> int:",
        "    return a + b",
        "bb.tool(add) is not None",
    ),
    "tools": (
        "@bb.udf",
        "def add(a: int, b: int) -> int:",
        "    '''Add.'''",
        "    return a + b",
        "bb.tools(add) is not None",
    ),
    "trace": (
        "with bb.trace() as t: bb.get_table('things').collect()",
        "t.find('operation')[-1].name == 'collect'",
    ),
    "uda": (
        "from user_functions import Longest",
        "t = bb.get_table('things')",
        "t.agg(x=Longest(t.name)).collect()[0, 'x'] == 'three'",
    ),
    "udf": (
        "@bb.udf",
        "def area(image: bb.Image) -> int:",
        "    return image.width * image.height",
        "t = bb.get_table('things')",
        "t.select(a=area(t.img)).collect()['a'].count(48) == 1",
    ),
}

# Data of other libraries for schema inference.
DATA = {
    "rows": "[{'img': PIL.Image.new('RGB', (4, 4)), 'meta': {'a': 1}}]",
    "datasets": "datasets.Dataset.from_dict({'img': [PIL.Image.new('RGB', (4, 4))]})",
    "a query": "bb.get_table('things').select('img', 'meta')",
    "an old version": "bb.get_table('things').at('first').select('img', 'meta')",
}


def _program(given: str | tuple[str, ...]) -> str:
    *before, expression = [given] if isinstance(given, str) else given
    return "\n".join([BEGIN, *before, f"got = {expression}", "assert got, got"])


def test_public_names_are_all_covered():
    assert sorted(NAMES) == sorted(bb.__all__)
    verbs = {name for name in dir(bb.Session) if not name.startswith("_")}
    assert verbs - {"close", "ibis"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_name_works_first_in_a_process(name, run_with_database):
    run_with_database(_program(NAMES[name]))


@pytest.mark.parametrize("data", DATA)
def test_data_with_media_work_first_in_a_process(data, run_with_database):
    program = _program((f"x = bb.create_table('x', {DATA[data]})", "x.img.width() is not None"))
    run_with_database("import PIL.Image, datasets\n" + program if "PIL" in program else program)


@pytest.mark.parametrize("way", ["import barbule.functions.image", "import barbule.session"])
def test_submodules_can_be_imported_first(way, run_with_database):
    run_with_database(f"{way}\n{BEGIN}{USES}")


def test_session_can_be_opened_first(run_with_database):
    run_with_database(
        f"{BEGIN}con = bb.connect()\n{USES}assert con.ibis is not None\ncon.close()\n"
    )


@pytest.mark.parametrize("name", ["few", "chunks", "docs", "folder.other"])
def test_tables_and_views_can_be_shown_first(name, run_with_database):
    run_with_database(
        f"{BEGIN}t = bb.get_table({name!r})\nt._repr_mimebundle_()\nt.collect()\nrepr(t)\n"
    )
