"""Extension packages with entry points: the example of `docs/extending.md`, installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import tomllib

import pytest

from pages import ROOT, fenced

PAGE = ROOT / "docs" / "extending.md"
MODULES = {"backend.py": 0, "index.py": 1, "notes.py": 2}  # in the order of the blocks
BLOCKS, USE, TESTS, LACKING = 3, 4, 5, 6


def code(number):
    return fenced(PAGE)[number][1]


def install(site, name, entries):
    """Write the metadata of an installed package, as pip does."""
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, names in entries.items()
        for line in (f"[{group}]", *(f"{key} = {value}" for key, value in names.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def site(tmp_path):
    """Install the package of the page in its own folder."""
    site = tmp_path / "site"
    (site / "feathers").mkdir(parents=True)
    (site / "feathers" / "__init__.py").write_text("")
    for name, number in MODULES.items():
        (site / "feathers" / name).write_text(code(number))
    (toml,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    install(site, "feathers", tomllib.loads(toml)["project"]["entry-points"])
    return site


def run(site, folder, *arguments):
    """Run Python with the package in a new process."""
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_example_extension_works(site, tmp_path):
    program = code(USE).replace("mine:///", f"mine://{tmp_path}/")

    assert run(site, tmp_path, "-c", program).stderr == ""
    again = textwrap.dedent(f"""
        import barbule as bb
        with bb.connect("mine://{tmp_path}/notes.duckdb", vectors="half:"):
            notes = bb.get_table("notes")
            print(notes.select(text=notes.file.text()).collect()["text"])
    """)
    second = run(site, tmp_path, "-c", again)
    assert second.stderr == ""
    assert "A barbule hooks." in second.stdout


def test_example_backend_keeps_its_class(site, tmp_path):
    program = textwrap.dedent(f"""
        import barbule as bb
        from feathers.backend import MineBackend, open_backend
        opened = open_backend("mine://{tmp_path}/a.duckdb")
        separate = opened.separate()
        print(type(opened) is MineBackend, type(separate) is MineBackend)
        separate.disconnect(), opened.disconnect()
        with bb.connect("mine://{tmp_path}/a.duckdb"):
            bb.create_table("t", [{{"n": 1}}, {{"n": 2}}])
            print(MineBackend.appended >= 2)
    """)
    result = run(site, tmp_path, "-c", program)
    assert result.stderr == ""
    assert result.stdout.split() == ["True"] * 3


def test_own_backends_and_indexes_fulfil_their_protocols():
    from barbule.backends import duckdb, postgres
    from barbule.backends.base import Adapter, Backend
    from barbule.backends.opening import open_backend
    from barbule.extensions import unfulfilled
    from barbule.indexes.base import IndexStore, VectorIndex
    from barbule.indexes.stores import open_store

    assert unfulfilled(duckdb, Adapter) is None
    assert unfulfilled(postgres, Adapter) is None
    backend = open_backend("duckdb://")
    assert unfulfilled(backend, Backend) is None
    backend.disconnect()
    store = open_store("exact:")
    assert unfulfilled(store, IndexStore) is None
    assert unfulfilled(store.open("t", 2, "l2"), VectorIndex) is None


def test_backend_derived_from_duckdb_keeps_its_class():
    from barbule.backends.duckdb import DuckDBBackend

    class Crow(DuckDBBackend):
        name = "crow"

    opened = Crow.open("crow://")
    separate = opened.separate()
    assert (type(opened), type(separate)) == (Crow, Crow)
    separate.disconnect()
    opened.disconnect()


@pytest.mark.parametrize("number", [BLOCKS, LACKING])
def test_other_code_of_the_page_runs(site, tmp_path, number):
    result = run(site, tmp_path, "-c", code(number))
    assert (result.returncode, result.stderr) == (0, "")


def test_example_extension_passes_the_contracts(site, tmp_path):
    (tmp_path / "test_feathers.py").write_text(code(TESTS))

    result = run(
        site, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly",
        "-k", "(TestBackend and not killed) or TestIndex", "test_feathers.py",
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:]
    assert re.search(r"\d\d passed", result.stdout)


def test_example_index_finds_the_nearest_rows(site, tmp_path):
    program = textwrap.dedent(f"""
        import sys
        import barbule as bb

        @bb.udf(version="1")
        def embed(text: str) -> bb.Vector(2):
            return [float(len(text)), 1.0]

        with bb.connect("duckdb://{tmp_path}/a.duckdb", vectors="half:"):
            table = bb.create_table("t", [{{"text": "a" * size}} for size in range(1, 9)])
            table.add_embedding_index("text", string_embed=embed, metric="l2")
            nearest = table.order_by(table.text.similarity("aaa").desc()).limit(1).collect()
            print("feathers.index" in sys.modules, nearest["text"])
    """)
    result = run(site, tmp_path, "-c", program)
    assert result.stderr == ""
    assert result.stdout.splitlines() == ["True ['aaa']"]


FAILURES = {
    "unknown backend": ("bb.connect('mien:///x')", "Did you mean 'mine'? Allowed schemes"),
    "unknown index": ("bb.connect(vectors='hafl:')", "Did you mean 'half'? Allowed schemes"),
    "import": (
        "bb.connect('broken:///x')",
        "extension 'broken' of package 'other' cannot be loaded",
    ),
    "twice": ("bb.connect('twice:///x')", "'twice' is declared in 'barbule.backends' by package"),
    "no adapter": (
        "bb.connect('empty:///x')",
        "the backend 'empty' of package 'other' (module) lacks open_backend, is_persistent",
    ),
}


@pytest.fixture
def bad_site(site):
    (site / "other").mkdir()
    (site / "other" / "__init__.py").write_text("def read(path):\n    raise KeyError('title')\n")
    backends = {"broken": "other.missing", "twice": "other", "empty": "other"}
    install(
        site, "other", {"barbule.backends": backends, "barbule.readers": {"memo": "other:read"}}
    )
    install(site, "third", {"barbule.backends": {"twice": "other:read"}})
    return site


@pytest.mark.parametrize("case", FAILURES)
def test_broken_extension_is_named(bad_site, tmp_path, case):
    call, message = FAILURES[case]
    program = textwrap.dedent(f"""
        import barbule as bb
        try:
            {call}
        except bb.errors.ConfigurationError as error:
            print(error)
    """)
    result = run(bad_site, tmp_path, "-c", program)
    assert result.stderr == ""
    assert message in result.stdout.replace("\n", " ")


def test_failing_document_reader_is_a_cell_error(bad_site, tmp_path):
    (tmp_path / "a.memo").write_text("no title")
    (tmp_path / "a.note").write_text("Title\nText.\n")
    program = textwrap.dedent("""
        import barbule as bb
        with bb.connect("duckdb://"):
            table = bb.create_table("t", {"file": bb.Document}, media_validation="on_read")
            table.insert([{"file": "a.memo"}, {"file": "a.note"}])
            table.add_computed_column(text=table.file.text(), on_error="null")
            rows = table.select("text", error=table.text.error).collect()
            print(rows["text"], rows["error"][0])
            checked = bb.create_table("checked", {"file": bb.Document})
            try:
                checked.insert(file="a.memo")
            except bb.errors.MediaError as error:
                print("refused:", error)
    """)
    result = run(bad_site, tmp_path, "-c", program)
    assert result.stderr == ""
    assert "None, 'Text.'" in result.stdout
    reason = "a.memo cannot be read: the reader 'memo' of package 'other' raised KeyError: 'title'."
    cell, refused = result.stdout.split("refused:")
    assert reason in cell
    assert "table 'checked', column 'file', row 0: " in refused
    assert reason in refused


def test_folder_includes_documents_of_an_extension(site, tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.note").write_text("Title\nText.\n")
    program = textwrap.dedent(f"""
        import barbule as bb
        with bb.connect("duckdb://"):
            table = bb.create_table("t", bb.read_folder({str(folder)!r}))
            print(table.schema())
    """)
    result = run(site, tmp_path, "-c", program)
    assert result.stderr == ""
    assert "Document" in result.stdout or "document" in result.stdout


def test_document_whose_reader_is_uninstalled_is_refused_and_found(site, tmp_path):
    (tmp_path / "a.note").write_text("Title\nText.\n")
    (tmp_path / "b.note").write_text("<?xml version='1.0'?>\n<note>Text.</note>\n")
    (tmp_path / "c.md").write_text("# Title")
    rows = [{"file": name} for name in ("a.note", "b.note", "c.md")]
    use = """
        import barbule as bb
        with bb.connect("duckdb:///{folder}/app.duckdb") as session:
            try:
                t = bb.get_table("t")
            except bb.errors.TableNotFoundError:
                t = bb.create_table("t", {{"file": bb.Document}})
                t.insert({rows})
            rows = t.select(t=t.file.title(), text=t.file.text()).collect()
            print(rows["t"], rows["text"])
    """
    program = textwrap.dedent(use.format(folder=str(tmp_path).lstrip("/"), rows=rows))
    assert "['Title', " in (before := run(site, tmp_path, "-c", program)).stdout, before.stderr
    without = tmp_path / "without"
    without.mkdir()
    removed = textwrap.dedent(f"""
        import barbule as bb
        with bb.connect("duckdb://{tmp_path}/app.duckdb") as session:
            t = bb.get_table("t")
            for use in (
                lambda: t.filter(t.file.contains("a.note")).select(x=t.file.title()).collect(),
                lambda: t.filter(t.file.contains("b.note")).select(x=t.file.text()).collect(),
                lambda: t.insert(file="b.note"),
            ):
                try:
                    print("read", use())
                except bb.errors.MediaError as error:
                    print(error)
            found = bb.check()
            print(bool(found), found.documents)
            print(found)
    """)
    lines = run(without, tmp_path, "-c", removed).stdout.splitlines()
    reason = "no reader for .note files is installed; package 'feathers' 1.0 has read them"
    assert [reason in line for line in lines[:3]] == [True] * 3
    assert lines[3].startswith("False (DocumentCheck(table='t', column='file', extension='note', ")
    assert (
        "t, column 'file': 2 files with the extension .note, for which no reader is installed; "
        "package 'feathers' 1.0 has read them" in lines[-1]
    )
    assert run(site, tmp_path, "-c", program).stdout == before.stdout


def test_unknown_extension_is_not_read_as_text(session, tmp_path):
    import barbule as bb
    from barbule.errors import MediaError
    from barbule.media.documents import read_document

    for name in ("letter.txt", "Makefile", "app.cfg", "log.1", "Dr. Who", "V1.BIN"):
        (tmp_path / name).write_text("Barbs branch.")
        assert read_document(tmp_path / name).blocks[0].text == "Barbs branch."
    (tmp_path / "page.brid").write_text("<html><body><p>Barbs branch.</p></body></html>")
    assert read_document(tmp_path / "page.brid").blocks[0].text == "Barbs branch."

    (tmp_path / "a.brid").write_text("Barbs branch.")
    checked = session.create_table("t", {"doc": bb.Document})
    unread = (
        r"a\.brid cannot be read: no reader for \.brid files is installed\. Install the package"
    )
    with pytest.raises(MediaError, match=rf"table 't', column 'doc', row 0: .*{unread}"):
        checked.insert(doc=tmp_path / "a.brid")
    late = session.create_table("late", {"doc": bb.Document}, media_validation="on_read")
    late.insert([{"doc": tmp_path / "a.brid"}, {"doc": tmp_path / "page.brid"}])
    with pytest.raises(MediaError, match=unread):
        late.select(text=late.doc.text()).collect()
    (found,) = session.check().documents
    assert (found.table, found.column, found.extension, found.files) == ("late", "doc", "brid", 1)
    assert "late, column 'doc': 1 file with the extension .brid" in repr(session.check())


def test_format_that_barbule_reads_itself_needs_no_former_reader(session, tmp_path):
    import barbule as bb
    from barbule.errors import MediaError

    for name in ("a.md", "a.bib"):
        (tmp_path / name).write_text("Barbs branch.")
    table = session.create_table("t", {"doc": bb.Document}, media_validation="on_read")
    table.insert([{"doc": tmp_path / "a.md"}, {"doc": tmp_path / "a.bib"}])
    former = {"md": "package 'plumes' 1.0", "bib": "package 'plumes' 1.0"}
    session._engine.library.isolation.readers_used.update(former)
    table.insert(doc=tmp_path / "a.md")  # records them
    texts = table.filter(table.doc.contains("a.md")).select(text=table.doc.text()).collect()
    assert texts["text"] == ["Barbs branch."] * 2
    with pytest.raises(MediaError, match=r"a\.bib cannot be read: no reader .*'plumes' 1\.0"):
        table.select(text=table.doc.text()).collect()
    assert [found.extension for found in session.check().documents] == ["bib"]
