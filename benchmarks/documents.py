"""Splitting 5 MB of documents: beside the bare libraries that read them, and Pixeltable.

What is read and cut in this process is measured by its processor time, in turns with a loop
over the bare library that takes the same from the file: headings and the path of them,
paragraphs, items, rows of tables, pages. Views are measured by the clock, each side in a
process of its own.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus import FORMATS, write
from sides import Side, interpreter

from barbule.config import MediaSettings
from barbule.media.chunking import split_document
from barbule.media.documents import read_document
from barbule.media.isolation import Isolation

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 5_000_000
VIEW_SIZE = 500_000  # Pixeltable takes minutes for a Word document of it
ROUNDS = 3
VIEW_ROUNDS = 2
SEPARATORS = ["。", "!", "?", "\n\n"]
NAMES = {"txt": "plain text", "md": "Markdown", "html": "HTML", "docx": "DOCX", "pdf": "PDF"}
CHUNK = "{}: read and split, per chunk (µs)"
SHARE = "{}: read and split relative to the bare library (%)"
SHARE_BOXES = "{}: read and split relative to the bare library with boxes (%)"
APART = "{}: read in a subprocess relative to in-process (%)"
VIEW = "view of chunks of {}"
FASTEST = 1e6 / 60_000  # microseconds of a chunk
LIMITS: dict[str, float] = {
    CHUNK.format("plain text"): FASTEST,
    CHUNK.format("Markdown"): FASTEST,
    **{SHARE.format(NAMES[name]): 130.0 for name in ("html", "docx", "pdf")},
}
DETAILS: dict[str, Any] = {}


def bare_html(path: Path) -> list[tuple[str, str]]:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(path.read_text())
    for node in tree.css("script, style, nav"):
        node.decompose()
    found: list[tuple[str, str]] = []
    headings: list[tuple[str, str]] = []
    for node in tree.body.traverse():
        tag = node.tag
        if tag in {"h1", "h2", "h3", "h4", "h5", "h6"}:
            text = " ".join(node.text().split())
            headings = [*(each for each in headings if each[0] < tag), (tag, text)]
        elif tag in {"p", "li", "pre", "dt", "dd", "blockquote"}:
            text = " ".join(node.text().split())
        elif tag == "tr":
            text = " | ".join(" ".join(cell.text().split()) for cell in node.iter())
        else:
            continue
        found.append((text, " > ".join(title for _, title in headings)))
    return found


def bare_docx(path: Path) -> list[tuple[str, str]]:
    import docx

    found: list[tuple[str, str]] = []
    headings: list[tuple[str, str]] = []
    for part in docx.Document(str(path)).iter_inner_content():
        if hasattr(part, "rows"):
            rows = [" | ".join(cell.text for cell in row.cells) for row in part.rows]
            text = "\n".join(rows)
        else:
            text, style = part.text, part.style.name
            if style.startswith("Heading"):
                headings = [*(each for each in headings if each[0] < style), (style, text)]
        found.append((text, " > ".join(title for _, title in headings)))
    return found


def bare_pdf(path: Path) -> list[tuple[str, str]]:
    import pypdfium2

    found = []
    with pypdfium2.PdfDocument(path) as document:
        for number in range(len(document)):
            page = document[number]
            textpage = page.get_textpage()
            found.append((textpage.get_text_range(), str(number)))
            textpage.close()
            page.close()
    return found


def bare_pdf_boxes(path: Path) -> list[tuple[str, str, list[tuple[float, ...]]]]:
    """Take of a PDF, as barbule does, where each line stands beside its text."""
    import pypdfium2

    found = []
    with pypdfium2.PdfDocument(path) as document:
        for number in range(len(document)):
            page = document[number]
            textpage = page.get_textpage()
            start = 0
            for line in textpage.get_text_range().split("\r\n"):
                count = textpage.count_rects(start, len(line)) if line else 0
                found.append(
                    (line, str(number), [textpage.get_rect(each) for each in range(count)])
                )
                start += len(line) + 2
            textpage.close()
            page.close()
    return found


BARE = {"html": bare_html, "docx": bare_docx, "pdf": bare_pdf}
BARE_BOXES = {"pdf": bare_pdf_boxes}


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def _cut(path: Path) -> int:
    document = read_document(path)
    return len(split_document(document, separators=SEPARATORS, chunk_size=300, overlap=50))


def _here(name: str, path: Path, rounds: int) -> dict[str, float]:
    """Measure a format in this process, in turns with the bare library."""
    ours, read, bare, boxes, count = [], [], [], [], 0
    for turn in range(rounds + 1):
        whole, count = _seconds(lambda: _cut(path))
        reading, _ = _seconds(lambda: read_document(path))
        slow = name == "docx" and turn != 1  # tens of seconds: once is enough
        alone = _seconds(lambda: BARE[name](path))[0] if name in BARE and not slow else None
        placed = _seconds(lambda: BARE_BOXES[name](path))[0] if name in BARE_BOXES else None
        if turn:  # the first loads libraries
            ours.append(whole)
            read.append(reading)
            bare += [] if alone is None else [alone]
            boxes += [] if placed is None else [placed]
    found = {"chunks": count, "seconds": statistics.median(ours), "read": statistics.median(read)}
    if bare:
        found["bare"] = statistics.median(bare)
    if boxes:
        found["bare_boxes"] = statistics.median(boxes)
    return found


def _apart(paths: dict[str, Path], folder: Path, rounds: int) -> dict[str, float]:
    """Measure by the clock, in turns, what reading in another process costs of each format."""
    isolation = Isolation(MediaSettings(isolate=True), folder)
    found = {}
    for name, path in paths.items():
        here, apart = [], []
        for turn in range(rounds + 1):
            start = time.perf_counter()
            read_document(path)
            middle = time.perf_counter()
            with isolation.entered():
                read_document(path)
            if turn:  # the first starts the process, and loads libraries
                here.append(middle - start)
                apart.append(time.perf_counter() - middle)
        found[name] = 100 * statistics.median(apart) / statistics.median(here)
    isolation.close()
    return found


def _views(folder: Path, rounds: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Make the view of each format on each side, in turns."""
    names = [name for name in ("barbule", "pixeltable") if interpreter(name)]
    if "pixeltable" not in names:
        print("documents  pixeltable is not installed and left out; `nox -s peers` installs it")
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        sides = [
            stack.enter_context(Side(name, "documents", "--files", str(folder))) for name in names
        ]
        for name in FORMATS:
            replies: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
            for turn in range(rounds + 1):
                for side in sides:
                    reply = side.ask(name)
                    if turn and reply["ms"] is not None:
                        replies[side.name].append(reply)
            found[NAMES[name]] = {
                side: {
                    "ms": statistics.median(each["ms"] for each in given),
                    "chunks": given[-1]["answer"],
                }
                for side, given in replies.items()
                if given
            }
        return found, {side.name: side.ask("library")["library"] for side in sides}


def measure(
    *,
    rounds: int = ROUNDS,
    view_rounds: int = VIEW_ROUNDS,
    size: int = SIZE,
    view_size: int = VIEW_SIZE,
) -> dict[str, float]:
    """Return microseconds, percent and, of views, milliseconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write(folder, size)
        here = {NAMES[each]: _here(each, path, rounds) for each, path in paths.items()}
        apart = _apart(paths, folder, rounds)
        write(folder, view_size)
        views, libraries = _views(folder, view_rounds)
    figures: dict[str, float] = {}
    for label, each in here.items():
        figures[CHUNK.format(label)] = 1e6 * each["seconds"] / each["chunks"]
        if "bare" in each:
            figures[SHARE.format(label)] = 100 * each["seconds"] / each["bare"]
            figures[f"{label}: read only, relative to the bare library (%)"] = (
                100 * each["read"] / each["bare"]
            )
        if "bare_boxes" in each:
            figures[SHARE_BOXES.format(label)] = 100 * each["seconds"] / each["bare_boxes"]
    for each, share in apart.items():
        figures[APART.format(NAMES[each])] = share
    for label, sides in views.items():
        figures[VIEW.format(label)] = sides["barbule"]["ms"]
    DETAILS.update(
        characters=size,
        view_characters=view_size,
        rounds=rounds,
        here_s=here,
        views=views,
        libraries=libraries,
    )
    return figures
