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
USE, TESTS = 3, 4


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
        "does not have the functions open_backend and is_persistent",
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
            table = bb.create_table("t", {"file": bb.Document})
            table.insert([{"file": "a.memo"}, {"file": "a.note"}])
            table.add_computed_column(text=table.file.text(), on_error="null")
            rows = table.select("text", error=table.text.error).collect()
            print(rows["text"], rows["error"][0])
    """)
    result = run(bad_site, tmp_path, "-c", program)
    assert result.stderr == ""
    assert "None, 'Text.'" in result.stdout
    assert "a.memo cannot be read: the reader of MEMO files raised KeyError" in result.stdout


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
