from __future__ import annotations

import io

import pyarrow as pa
import pytest
from PIL import Image

import barbule as bb
from barbule.errors import DataError, MediaError

from .conftest import contents

datasets = pytest.importorskip("datasets")


def png(shade=1):
    buffer = io.BytesIO()
    Image.new("L", (4, 4), shade).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def dataset(photos):
    features = datasets.Features(
        {
            "img": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "text": datasets.Value("string"),
            "score": datasets.Value("float32"),
            "words": datasets.List(datasets.Value("string")),
            "labels": datasets.List(datasets.ClassLabel(names=["a", "b"])),
            "box": {"x": datasets.Value("int32"), "kind": datasets.ClassLabel(names=["k", "l"])},
            "grid": datasets.Array2D((2, 2), "int32"),
        }
    )
    rows = {
        "img": [str(photos / "a.jpg"), {"bytes": png(3), "path": None}, None],
        "label": [0, 1, 1],
        "text": ["x", None, "z"],
        "score": [0.5, None, 2.0],
        "words": [["a", "b"], [], None],
        "labels": [[1, 0], [], [0]],
        "box": [{"x": 1, "kind": 0}, {"x": 2, "kind": 1}, {"x": None, "kind": 1}],
        "grid": [[[1, 2], [3, 4]]] * 3,
    }
    return datasets.Dataset.from_dict(rows, features=features)


def test_data_set_is_read_as_a_table(session, dataset):
    rows = bb.read_huggingface(dataset)
    kinds = [type(kind).__name__ for kind in rows.schema.types]
    assert kinds == ["Image", "String", "String", "Float32", "Array", "Array", "Struct", "Json"]
    table = bb.create_table("t", dataset)
    result = table.collect()
    assert result["label"] == ["cat", "dog", "dog"]
    assert result["labels"] == [["b", "a"], [], ["a"]]
    assert result["box"][1] == {"x": 2, "kind": "l"}
    assert result["grid"][0] == [[1, 2], [3, 4]]
    assert result["words"] == [["a", "b"], [], None]
    assert result[1, "img"].getpixel((0, 0)) == 3
    assert result["img"][2] is None
    assert table.insert(dataset).rows == 3


def test_splits_become_a_column(session, dataset):
    both = datasets.DatasetDict(train=dataset, test=dataset.select([0]))
    table = bb.create_table("t", both)
    assert table.collect()["split"] == ["train"] * 3 + ["test"]


def test_streaming_data_set_is_read(session, dataset):
    table = bb.create_table("t", bb.read_huggingface(dataset.to_iterable_dataset()))
    assert table.collect()["label"] == ["cat", "dog", "dog"]


def test_output_format_of_the_data_set_is_ignored(session, dataset):
    table = bb.create_table("t", dataset.with_format("numpy"))
    assert table.collect()["words"][0] == ["a", "b"]


def test_audio_is_not_decoded(session, tmp_path):
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\0" * 800)
    content = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = pa.array([{"bytes": (tmp_path / "a.wav").read_bytes(), "path": None}], content)
    info = datasets.DatasetInfo(features=datasets.Features({"sound": datasets.Audio()}))
    dataset = datasets.Dataset(pa.table({"sound": cells}), info=info)
    table = bb.create_table("t", dataset)
    assert isinstance(table.schema()["sound"], bb.Audio)
    assert table.select(d=table.sound.duration()).collect()["d"] == [pytest.approx(0.1)]


def test_rows_round_trip_through_a_data_set(album):
    dataset = album.order_by("n").to_huggingface()
    assert dataset.features["img"] == datasets.Image()
    assert dataset["n"][:] == [1, 2, 3]
    assert dataset[0]["img"].size == (6, 4)
    assert dataset[2]["img"] is None
    again = bb.create_table("again", dataset)
    assert contents(again) == contents(album)
    assert again.order_by("n").collect()["title"] == ["red, ☃", None, ""]


def test_invalid_data_sets_are_rejected(session, dataset, photos):
    with pytest.raises(DataError, match="a list is not a Hugging Face data set"):
        bb.read_huggingface([1])
    with pytest.raises(DataError, match="no splits"):
        bb.read_huggingface(datasets.DatasetDict())
    (photos / "a.jpg").unlink()
    with pytest.raises(MediaError, match=r"column 'img', row 0: .*a\.jpg does not exist"):
        bb.create_table("t", dataset)
    assert bb.list_tables() == []


def test_missing_package_names_the_install_command(album, monkeypatch):
    import sys

    from barbule.errors import UnsupportedError

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'barbule\[datasets\]'"):
        album.to_huggingface()
