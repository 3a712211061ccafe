"""The examples run with real local models and give the documented results."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from real_models import EXAMPLES, MINILM, SMOLLM2, needs

pytestmark = pytest.mark.models


def run(name: str) -> str:
    done = subprocess.run(
        [sys.executable, f"{name}.py"],
        cwd=EXAMPLES,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,  # allows for a loaded machine
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs(*MINILM)
def test_hybrid_search_example_filters_before_and_after_a_change() -> None:
    found = dict(line.split(": ", 1) for line in run("versioned_hybrid").splitlines())
    assert found["by words"].startswith("Error E42")
    assert found["by meaning"].startswith("Error E42")
    assert found["by both"].startswith("Error E17")
    assert found["by both, brakes only"].startswith("Brake fluid")
    assert "2.5 bar" in found["after the correction"]
    assert "2.3 bar" in found["as it was printed"]


@needs("skimage")
def test_photographs_example_finds_similar_images() -> None:
    shown = run("photographs")
    found = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line)
    assert found["the cat, mirrored and darker"].startswith("chelsea")
    assert found["the rocket, a part of it"].startswith("rocket")
    # Two adjacent cameras photographed the same motorcycle.
    left, right, _ = found["the motorcycle, as a thumbnail"].split(", ")
    assert (left.split()[0], right.split()[0]) == ("motorcycle_left", "motorcycle_right")
    assert found["the cat, among 3 small ones"].startswith("chelsea")
    assert "the hub cannot be reached" in found["Not here"]
    assert "pass the path of a folder" in found["Not here"]


@needs(*MINILM, *SMOLLM2)
def test_versioned_rag_example_keeps_the_old_answer() -> None:
    shown = run("versioned_rag")
    assert "3 chunks, 1 embedded anew" in shown
    before, now = re.findall(r"(?:before|now): +(A book .*)", shown)
    assert "4 weeks" in before
    assert "6 weeks" in now
    found_now, found_before = re.findall(r"Found (?:now|before): +(.*)", shown)
    assert "6 weeks" in found_now
    assert "4 weeks" in found_before
    assert shown.count("A card costs 12 euros a year.") == 2


@needs(*MINILM)
def test_chunking_example_measures_two_splitters() -> None:
    shown = run("chunking")
    rows = {
        cells[0]: [float(cell) for cell in cells[1:]]
        for line in shown.splitlines()
        if (cells := line.split())[:1] in (["sentences"], ["paragraphs"]) and len(cells) == 6
    }
    assert set(rows) == {"sentences", "paragraphs"}
    for chunks, first, third, tenth, mrr in rows.values():
        assert chunks > 50
        assert 0 < first <= third <= tenth <= 1
        assert first <= mrr <= tenth
    assert rows["sentences"][0] > rows["paragraphs"][0]
    better = max(rows, key=lambda way: rows[way][-1])
    assert f"By MRR, {better} find more." in shown
    # Exactly the results outside the first ten are listed.
    missed = len(re.findall(r"^   - ", shown, re.MULTILINE))
    assert missed == round(sum(10 * (1 - tenth) for *_, tenth, _ in rows.values()))
