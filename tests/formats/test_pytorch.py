from __future__ import annotations

import multiprocessing
import pickle
import sys

import pytest

import barbule as bb
from barbule.errors import UnsupportedError
from barbule.io.formats import pytorch
from fakes.loading import by_size, read_share
from patience import PATIENCE


def test_missing_torch_names_the_install_page(album, monkeypatch):
    pytorch._dataset_class.cache_clear()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UnsupportedError, match=r"PyTorch is not installed.*pytorch\.org"):
        album.to_pytorch_dataset()


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_worker_processes_read_their_share_without_the_database(session, start):
    """Run the worker side of a loader in processes that share no state with this one."""
    from PIL import Image

    from barbule.io.export_rows import ExportRows
    from barbule.io.formats.pytorch import stage_rows

    table = bb.create_table("t", {"n": bb.Int, "img": bb.Image})
    table.insert([{"n": n, "img": Image.new("L", (2, 2), n % 250)} for n in range(600)])
    engine = table.op().source
    rows = table.order_by("n")
    exported = ExportRows(
        rows.schema(),
        lambda size: engine.to_pyarrow_batches(rows, chunk_size=size),
        engine.library,
    )
    content, count = stage_rows(exported, by_size)
    assert count == 600
    assert list(content.rows(0, 1))[:2] == [(0, (2, 2)), (1, (2, 2))]
    sized = pickle.loads(pickle.dumps(content))
    context = multiprocessing.get_context(start)
    answers = context.Queue()
    processes = [
        context.Process(target=read_share, args=(sized, worker, 2, answers)) for worker in range(2)
    ]
    for process in processes:
        process.start()
    numbers = sorted(number for _ in processes for number in answers.get(timeout=PATIENCE))
    for process in processes:
        process.join()
    assert numbers == list(range(600))


def test_rows_are_items_of_a_data_set(album):
    torch = pytest.importorskip("torch")
    dataset = album.filter(album.n < 3).select("n", "img").order_by("n").to_pytorch_dataset()
    assert isinstance(dataset, torch.utils.data.IterableDataset)
    assert len(dataset) == 2
    first = next(iter(dataset))
    assert first["n"] == 1
    assert (first["img"].dtype, tuple(first["img"].shape)) == (torch.uint8, (3, 4, 6))


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_with_workers_yields_each_row_once(session, workers):
    torch = pytest.importorskip("torch")
    table = bb.create_table("t", {"n": bb.Int})
    table.insert([{"n": n} for n in range(1000)])
    loader = torch.utils.data.DataLoader(
        table.to_pytorch_dataset(), batch_size=50, num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )  # fmt: skip
    assert sorted(n for batch in loader for n in batch["n"].tolist()) == list(range(1000))


@pytest.mark.parametrize("workers", [0, 2])
def test_vectors_are_stacked(session, workers):
    torch = pytest.importorskip("torch")
    table = bb.create_table(
        "t",
        {
            "n": bb.Int,
            "v": bb.Vector(4),
            "ids": bb.Array(bb.Int),
            "grid": bb.Array(bb.Array(bb.Float, length=2), length=2),
            "flags": bb.Array(bb.Bool, length=2),
            "share": bb.Float,
            "name": bb.String,
        },
    )
    table.insert(
        [
            {
                "n": n,
                "v": None if n == 1 else [n, 1, 2, 3],
                "ids": [2**60 + n, n],
                "grid": [[n, 1.5], [None, 2]],
                "flags": [True, False],
                "share": None if n == 2 else n / 2,
                "name": str(n),
            }
            for n in range(8)
        ]
    )
    loader = torch.utils.data.DataLoader(
        table.order_by("n").to_pytorch_dataset(),
        batch_size=4,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )
    batch = next(iter(loader))
    shapes = {name: tuple(batch[name].shape) for name in ("v", "ids", "grid", "flags", "share")}
    assert shapes == {"v": (4, 4), "ids": (4, 2), "grid": (4, 2, 2), "flags": (4, 2), "share": (4,)}
    kinds = [batch[name].dtype for name in ("v", "ids", "grid", "flags", "share")]
    expected = [torch.float32, torch.int64, torch.float64, torch.bool, torch.float64]
    assert kinds == expected
    assert batch["v"][3].tolist() == [3, 1, 2, 3]
    assert batch["v"][1].isnan().all()
    assert batch["ids"][3, 0].item() == 2**60 + 3
    assert batch["grid"][0, 1, 0].isnan()
    assert batch["share"].isnan().tolist() == [False, False, True, False]
    assert batch["name"] == ["0", "1", "2", "3"]


def test_lists_that_are_no_tensors_stay_lists(session):
    pytest.importorskip("torch")
    table = bb.create_table("t", {"words": bb.Array(bb.String), "ids": bb.Array(bb.Int)})
    table.insert([{"words": ["a"], "ids": [1, None]}, {"words": None, "ids": None}])
    first, second = sorted(table.to_pytorch_dataset(), key=lambda row: row["ids"] is None)
    assert first == {"words": ["a"], "ids": [1, None]}
    assert second == {"words": None, "ids": None}


def test_transform_gets_lists(session):
    pytest.importorskip("torch")
    table = bb.create_table("t", {"v": bb.Vector(2), "x": bb.Float})
    table.insert(v=[1, 2])
    (row,) = table.to_pytorch_dataset(transform=dict)
    assert row == {"v": [1.0, 2.0], "x": None}
