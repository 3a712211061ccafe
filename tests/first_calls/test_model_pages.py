"""Documentation blocks that need models run in new processes.

The tests provide what a page leaves to its reader: a function, files, and a model at the
configured address. Chat and embedding models are real; the hub cache has tiny weights under the
names that the pages use.
"""

from __future__ import annotations

import importlib.util
import shutil
from typing import TYPE_CHECKING

import PIL.Image
import pytest

from fakes import tiny_models
from pages import EVERY_PAGE, blocks
from real_models import EXAMPLES, LOCAL_MODELS, MINILM, SMOLLM2, local_models, needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

IMPORT = "import barbule as bb\n"

EMBED = """
import local_models

@bb.udf(batch_size=64, version="minilm-1")
def embed(texts: list[str]) -> list[bb.Vector(384)]:
    return local_models.minilm(texts)

"""

# Checks by another process after the blocks of a page have run, by session and page.
CHECKS = {
    ("models", "README"): """
docs, chunks, qa = map(bb.get_table, ("my_docs.docs", "doc_chunks", "my_docs.qa"))
assert docs.count().execute() == 2
assert set(chunks.select(file=chunks.doc.uri().split("/")[-1]).collect()["file"]) == {
    "report.pdf", "paper.docx",
}
[row] = qa.collect()
assert len(row["context"]) == 3
assert all(found["text"] for found in row["context"])
assert row["context"][0]["text"].split()[0] in row["prompt"]
assert row["prompt"].endswith("Question: What changed in the third quarter?")
assert row["answer"].strip()
asked = bb.calls()
asked = asked.filter(asked.model == "openai/gpt-4o-mini")
assert asked.count().execute() == 1, asked.collect()
""",
    ("huggingface", "README"): """
import PIL.Image
images = bb.get_table("images")
images.insert(img=PIL.Image.new("RGB", (40, 30), "red"))
[row] = images.order_by(images.img.similarity("a cat"), asc=False).limit(3).collect()
assert len(row["objects"]["labels"]) == len(row["objects"]["scores"])
assert set(bb.calls().collect()["model"]) >= {
    "huggingface/facebook/detr-resnet-50", "huggingface/openai/clip-vit-base-patch32",
}
""",
    ("huggingface", "local_models"): """
images = bb.get_table("images")
assert images.count().execute() == 2
nearest = images.order_by(images.img.similarity("a dog that plays"), asc=False)
assert len(nearest.limit(3).collect()) == 2
assert all(row["objects"] is not None for row in images.collect())
""",
}


def pages_of(session: str) -> pytest.MarkDecorator:
    pages = [page for page in EVERY_PAGE if blocks(page, session)]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.stem)


def test_pages_that_need_models_are_all_checked():
    sessions = ("models", "huggingface")
    pages = {(name, page.stem) for name in sessions for page in EVERY_PAGE if blocks(page, name)}
    assert pages == set(CHECKS)


@pytest.fixture
def chat(run_with_database: Callable[[str], None], tmp_path: Path) -> Iterator[None]:
    """Configure a local model as `gpt-4o-mini` of OpenAI, as users can."""
    # The context limits the length of an answer.
    with local_models.SmolLM2Server(context=1024) as server:
        configuration = f'[models.openai]\napi_base = "{server.url}"\n'
        (tmp_path / "first" / "barbule.toml").write_text(configuration)
        yield


@pytest.fixture
def documents(run_with_database: Callable[[str], None], tmp_path: Path) -> None:
    """Put the embedding function and the files of the pages beside the program."""
    work = tmp_path / "first"
    shutil.copy(LOCAL_MODELS, work)
    shutil.copy(EXAMPLES / "data" / "sqlite-uses.pdf", work / "report.pdf")
    shutil.copy(EXAMPLES / "data" / "sqlite-limits.docx", work / "paper.docx")


@pytest.mark.models
@needs(*MINILM, *SMOLLM2)
@pages_of("models")
def test_model_blocks_run_in_new_processes_and_repeat(page, run_with_database, chat, documents):
    for _ in range(2):  # the second run is answered by the call ledger
        for block in blocks(page, "models"):
            run_with_database(IMPORT + EMBED + block)
        run_with_database(IMPORT + CHECKS["models", page.stem])


@pytest.fixture
def hub(
    run_with_database: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fill a hub cache with tiny weights under the names of large models."""
    home = tmp_path / "hub"
    for name, save in (
        ("facebook/detr-resnet-50", tiny_models.detr),
        ("openai/clip-vit-base-patch32", tiny_models.clip),
    ):
        folder = home / "hub" / f"models--{name.replace('/', '--')}"
        commit = "0" * 40
        save(folder / "snapshots" / commit)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(commit)
    monkeypatch.setenv("HF_HOME", str(home))


@pytest.fixture
def pictures(run_with_database: Callable[[str], None], tmp_path: Path) -> None:
    """Put the images of the pages beside the program."""
    for name, color in (("park", "green"), ("harbour", "blue")):
        PIL.Image.new("RGB", (40, 30), color).save(tmp_path / "first" / f"{name}.jpg")


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")),
    reason="torch and transformers are not installed: nox -s huggingface has them",
)
@pages_of("huggingface")
def test_weight_blocks_run_in_new_processes(page, run_with_database, hub, pictures):
    for block in blocks(page, "huggingface"):
        run_with_database(IMPORT + block)
    run_with_database(IMPORT + CHECKS["huggingface", page.stem])
