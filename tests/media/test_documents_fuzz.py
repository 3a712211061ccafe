"""Damaged documents of every format: text or one clear error, without crash, hang or leak."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import subprocess
import sys
import threading
from pathlib import Path

import PIL.Image
import pytest

import reading_worker
from media_files import make_epub, make_pdf
from mutations import mutated, mutated_archive

DATA = Path(os.environ.get("BARBULE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
EXAMPLES = Path(__file__).parents[2] / "examples" / "data"
# Read at import: tests run without the barbule variables.
MUTATIONS = int(os.environ.get("BARBULE_TEST_MUTATIONS", "30"))
SLOWEST = 300.0  # seconds per file, with room for a slow machine
MOST_KILOBYTES = 100_000  # growth after all files of a format
LARGEST = 400_000
ARCHIVES = {"docx", "pptx", "xlsx", "epub"}
FORMATS = [
    "pdf", "docx", "pptx", "xlsx", "epub", "html", "md", "txt", "csv", "json", "xml",
]  # fmt: skip


def generated(name: str, folder: Path) -> Path:
    path = folder / f"whole.{name}"
    words = "Barbs branch from the shaft. Barbules hook! 羽毛很轻。"
    if name == "pdf":
        return make_pdf(
            path, ["Feathers", "Barbs branch."], ["Down."], outline=[("Feathers", 0, 1)]
        )
    if name == "epub":
        pages = {f"{n}.xhtml": f"<h1>{n}</h1><p>{words}</p>" for n in range(3)}
        return make_epub(path, pages)
    if name in ARCHIVES:
        return office(name, path, words)
    texts = {
        "html": f"<!doctype html><title>T</title><h1>Birds</h1><p>{words}<table><tr><td>a<td>b"
        "</table><ul><li>x<li>y</ul><pre>code</pre>",
        "md": f"---\ntitle: T\n---\n# Birds\n\n{words}\n\n```\ncode\n```\n\n| a | b |\n|---|---|\n",
        "txt": f"{words}\n\n{words}",
        "csv": "bird,hooks\njay,many\n'owl','a \"few\"'\n" * 5,
        "json": json.dumps({"title": "T", "birds": [{"bird": words, "n": 1.5}] * 20}),
        "xml": f"<?xml version='1.0'?><a><title>T</title>{'<b c=&quot;1&quot;>'}</a>".replace(
            "<b c=&quot;1&quot;>", f"<b c='1'>{words}</b>" * 20
        ),
    }
    path.write_text(texts[name], encoding="utf-8")
    return path


def office(name: str, path: Path, words: str) -> Path:
    if name == "docx":
        import docx

        document = docx.Document()
        document.add_heading("Birds", 1)
        document.add_paragraph(words)
        document.add_table(2, 2).cell(0, 0).text = "cell"
        document.save(str(path))
    elif name == "pptx":
        import pptx

        presentation = pptx.Presentation()
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = "Birds"
        slide.placeholders[1].text = words
        presentation.save(str(path))
    else:
        import openpyxl

        book = openpyxl.Workbook()
        for row in (("bird", "hooks"), ("jay", 3), (words, 1.5)):
            book.active.append(row)
        book.save(path)
    return path


def intact_files(name: str, folder: Path) -> list[bytes]:
    """Return a generated file and available sample files that are not too large."""
    paths = [generated(name, folder)]
    for folder_ in (DATA / "documents", DATA / "datasets", EXAMPLES):
        paths += sorted(folder_.glob(f"*.{name}"))
    return [data for path in paths if len(data := path.read_bytes()) <= LARGEST]


class Worker:
    """A process that reads files; it is started again when it died."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, reading_worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def ask(self, path: Path) -> dict[str, object]:
        """Read a file; return the outcome, including a crash or a hang."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{path}\n")
            self.process.stdin.flush()
        try:
            line = self._lines.get(timeout=SLOWEST)
        except queue.Empty:
            return {"escaped": f"it took more than {SLOWEST} s"}
        if not line:
            return {"escaped": f"the process died: {self.process.wait()}"}
        return json.loads(line)

    def close(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_document_is_read_or_rejected(name, tmp_path):
    contents = intact_files(name, tmp_path)
    chance = random.Random(f"barbule {name}")
    path = tmp_path / f"damaged.{name}"
    worker = Worker()
    bad: list[str] = []
    try:
        for data in contents:
            path.write_bytes(data)
            first = worker.ask(path)
            assert first.get("said") == [], first
        refused = 0
        last = first
        for number in range(MUTATIONS):
            change = mutated_archive if name in ARCHIVES and number % 4 else mutated
            path.write_bytes(change(chance.choice(contents), chance) or b"\0")
            last = worker.ask(path)
            if "escaped" in last:
                bad.append(f"mutation {number}: {last['escaped']}")
                (tmp_path / f"{number}.{name}").write_bytes(path.read_bytes())
                worker.close()
                worker = Worker()
                continue
            refused += bool(last["said"])
            for text in last["said"]:
                assert text.startswith(str(path)), text
                assert text.endswith("."), text
        assert not bad, "\n".join(bad)
        if name not in {"html", "md", "txt", "csv"}:  # any bytes are valid text
            assert refused > MUTATIONS / 20
        assert refused < MUTATIONS
        assert last["files"] <= first["files"]
        assert last["kilobytes"] - first["kilobytes"] < MOST_KILOBYTES
    finally:
        worker.close()


def test_reader_crash_is_detected(tmp_path):
    """Verify the harness: a crash is distinguished from a rejection."""
    worker = Worker()
    picture = tmp_path / "picture.png"
    PIL.Image.new("L", (9, 9)).save(picture)
    assert len(worker.ask(picture)["said"]) == 2
    worker.process.kill()
    worker.process.wait()
    assert "the process died" in worker.ask(picture)["escaped"]
    worker.close()
