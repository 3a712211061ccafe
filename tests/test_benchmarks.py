"""The benchmarks run at a small size, and their results have the documented fields."""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
FIELDS = {"figures_ms", "reach_ms", "python", "machine"}


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return a loader of fresh benchmark modules, which are no package; no peer is installed."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("BARBULE_PEERS", str(tmp_path / "none"))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(BENCHMARKS):
            del sys.modules[name]


def _record(run, name: str, folder: Path, **options: float) -> dict:
    run.run(name, folder, **options)
    record = json.loads((folder / f"{name}.json").read_text())
    assert record.keys() >= FIELDS
    assert all(value is not None for value in record["figures_ms"].values())
    assert record["reach_ms"].keys() <= record["figures_ms"].keys()
    return record


def test_startup_benchmark_runs(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark("startup"), "ROUNDS", 1)
    record = _record(benchmark("run"), "startup", tmp_path)
    assert record["figures_ms"]["first create_table in a fresh home"] > 0


def test_tables_benchmark_runs(benchmark, tmp_path, capsys):
    tables = benchmark("tables")
    record = _record(benchmark("run"), "tables", tmp_path, rows=500, rounds=1, fresh_rounds=1)
    labels = {each.label for each in tables.OPERATIONS.values()}
    assert record["figures_ms"].keys() == record["reach_ms"].keys() == labels
    assert record["reach_ratio"].keys() == record["reach_when_set_ms"].keys() == labels
    virtual = tables.OPERATIONS["arithmetic_virtual"].label
    for label, sides in record["sides_ms"].items():
        assert sides["barbule"] == record["figures_ms"][label] > 0
        assert (sides.keys() == {"barbule"}) == (label == virtual)
    said = capsys.readouterr().out
    assert all(f"{name} is not installed" in said for name in ("pixeltable", "lancedb", "daft"))


def test_search_benchmark_runs(benchmark, tmp_path):
    record = _record(benchmark("run"), "search", tmp_path, sizes=(1500,), rounds=2)
    ours = record["1500 clustered"]["barbule"]["filters"]
    assert [each["recall"] for each in ours.values()] == [1.0] * len(ours)


def test_images_benchmark_runs(benchmark, tmp_path):
    images = benchmark("images")
    record = _record(benchmark("run"), "images", tmp_path, images=24, headers=30, rounds=1)
    assert len(record["sides_ms"]) == 3
    assert all(each.keys() == {"barbule", "bare"} for each in record["sides_ms"].values())
    assert all(peak > 50 for peak in record["peak_mb"].values())
    insert = images.INSERT.format(24)
    assert record["reach_ms"][insert] == 0.6 * record["sides_ms"][insert]["bare"]


def test_video_benchmark_runs(benchmark, tmp_path):
    record = _record(benchmark("run"), "video", tmp_path, seconds=2, long=120, rounds=1)
    (sides,) = record["sides_ms"].values()
    assert sides.keys() == {"barbule", "bare"}
    assert len(record["reach_ms"]) == 2


def test_documents_benchmark_runs(benchmark, tmp_path, capsys):
    options = {"size": 20_000, "view_size": 5000, "rounds": 1, "view_rounds": 1}
    record = _record(benchmark("run"), "documents", tmp_path, **options)
    assert all(value > 0 for value in record["figures_ms"].values())
    assert record["views"]["DOCX"].keys() == {"barbule"}
    assert record["here_s"]["PDF"]["chunks"] > 50
    assert "pixeltable is not installed" in capsys.readouterr().out


def test_table_limits_are_ratios_to_duckdb(benchmark):
    tables = benchmark("tables")
    medians = {name: {"duckdb": 2.0} for name in tables.OPERATIONS}
    tables._reach(medians)
    assert tables.LIMITS["update one row"] == 2.0 * 5 / 1
    assert tables.LIMITS["computed revenue - budget, virtual"] == 2.0 * 5 / 18


def test_differing_results_abort_the_benchmark(benchmark):
    with pytest.raises(SystemExit, match="the sides differ at aggregate"):
        benchmark("tables")._agree("aggregate", {"barbule": [1], "duckdb": [2]})


def test_failing_side_is_reported(benchmark):
    sides = benchmark("sides")
    with (
        sides.Side("duckdb", "tables", "--rows", "none") as side,
        pytest.raises(SystemExit, match="invalid int value"),
    ):
        side.ask("aggregate")


def test_structure_benchmark_runs(benchmark, tmp_path, monkeypatch):
    monkeypatch.delenv("BARBULE_PEERS")  # it measures in this process, where no such setting exists
    structure = benchmark("structure")
    small = [curve._replace(sizes=(1, 2), compare=(1, 2)) for curve in structure.CURVES]
    monkeypatch.setattr(structure, "CURVES", small)
    monkeypatch.setattr(structure, "BUILT_STEPS", 2)
    figures = _record(benchmark("run"), "structure", tmp_path, rounds=1)["figures_ms"]
    labels = [curve.label.format(size) for curve in small for size in curve.sizes]
    assert all(figures[label] > 0 for label in labels)
    assert len(structure.LIMITS) == len(small) + 1


def test_growth_benchmark_runs(benchmark, tmp_path, monkeypatch):
    homes = tmp_path / "homes"
    homes.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(homes))
    growth = benchmark("growth")
    options = {"largest": 2000, "rounds": 1, "gigabytes": 0.01}
    record = _record(benchmark("run"), "growth", tmp_path, sizes=(2000, 3000), **options)
    assert record["by_size_ms"].keys() == {"2000"}
    for size in record["by_size_ms"].values():
        assert size.keys() == {*growth.OPERATIONS, "small_query"}
        assert all(side.keys() == {"barbule", "duckdb"} for side in size.values())
    held = {name for name in record["reach_ms"] if name.endswith("(times bare DuckDB)")}
    assert len(held) == len(growth.OPERATIONS)
    assert record["memory"]["barbule"]["peak_mb"] > 50
    assert not list(homes.iterdir())  # the large file is deleted


@pytest.mark.skipif(
    not os.environ.get("BARBULE_TEST_FULL"), reason="takes minutes; set BARBULE_TEST_FULL"
)
def test_models_benchmark_runs(benchmark, tmp_path, capsys):
    record = _record(benchmark("run"), "models", tmp_path, scale=0.02, rounds=1)
    figures = record["figures_ms"]
    exact = ("(calls)", "(rows)")
    counts = {label: each for label, each in figures.items() if label.endswith(exact)}
    assert len(counts) == 7
    assert all(value <= record["reach_ms"][label] for label, value in counts.items())
    assert record["faults"]["faulty"] > 0
    assert "pixeltable is not installed" in capsys.readouterr().out


STORED = sorted(path.stem for path in (BENCHMARKS / "results").glob("*.json"))


@pytest.mark.parametrize("name", STORED)
def test_stored_results_have_the_fields(name):
    record = json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())
    assert record.keys() >= FIELDS
    assert record["figures_ms"]


def test_page_shows_the_stored_results():
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    for name in ("tables", "growth"):
        record = json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())
        shown = page.split(f"<!-- {name} -->")[1].split(f"<!-- end of {name} -->")[0]
        labels = record["sides_ms"] if name == "tables" else record["labels"].values()
        assert all(f"| {label} |" in shown for label in labels)
    if "search" in STORED:
        record = json.loads((BENCHMARKS / "results" / "search.json").read_text())
        assert all(f"| {label} |" in page for label in record["reach_ms"])
    shown = page.split("<!-- media -->")[1].split("<!-- end of media -->")[0]
    for name in ("images", "video"):
        record = json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())
        assert all(f"| {label} |" in shown for label in record["sides_ms"])
    assert (ROOT / "docs" / "images" / "growth.svg").read_text().lstrip().startswith("<?xml")
