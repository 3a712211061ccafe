from __future__ import annotations

import json

import pytest
from PIL import Image

import barbule as bb
from barbule.errors import DataError, MediaError, SchemaError


@pytest.fixture
def coco(photos):
    content = {
        "images": [
            {"id": 7, "file_name": "a.jpg", "width": 6, "height": 4},
            {"id": 9, "file_name": "more/c.jpg", "width": 3, "height": 2},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 1, 2, 2.5], "area": 4.5,
             "iscrowd": 0, "segmentation": [[1, 1, 3, 1, 3, 3.5]]},
            {"id": 2, "image_id": 7, "category_id": 4, "bbox": [0, 0, 6, 4]},
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "wall"}],
    }  # fmt: skip

    def write(change=lambda _: None):
        change(content)
        (photos / "ann.json").write_text(json.dumps(content))
        return photos / "ann.json"

    return write


def test_coco_images_are_read_with_their_boxes(session, coco):
    table = bb.create_table("t", bb.read_coco(coco()))
    rows = table.order_by("id").collect()
    assert rows["id"] == [7, 9]
    assert rows["file_name"] == ["a.jpg", "more/c.jpg"]
    assert rows[0, "image"].size == (rows[0, "width"], rows[0, "height"]) == (6, 4)
    first, second = rows[0, "boxes"]
    assert (first["label"], first["x"], first["height"], first["area"]) == ("cat", 1, 2.5, 4.5)
    assert json.loads(first["segmentation"]) == [[1, 1, 3, 1, 3, 3.5]]
    assert (second["label"], second["area"], second["segmentation"]) == ("wall", 24.0, None)
    assert rows[1, "boxes"] == []
    labels = table.select(b=table.boxes.unnest()).select(label=lambda t: t.b.label)
    assert sorted(labels.collect()["label"]) == ["cat", "wall"]


def test_coco_round_trips(session, coco, tmp_path):
    table = bb.create_table("t", bb.read_coco(coco()))
    assert table.order_by("id").to_coco(tmp_path / "out") == 2
    again = bb.create_table(
        "again", bb.read_coco(tmp_path / "out" / "annotations.json", tmp_path / "out" / "images")
    )
    for name in ("file_name", "width", "height", "boxes"):
        assert again.order_by("id").collect()[name] == table.order_by("id").collect()[name]
    written = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert written["annotations"][0]["bbox"] == [1.0, 1.0, 2.0, 2.5]
    assert [category["name"] for category in written["categories"]] == ["cat", "wall"]


def test_missing_image_is_named(session, coco):
    path = coco(lambda c: c["images"].append({"id": 11, "file_name": "gone.jpg"}))
    with pytest.raises(MediaError, match=r"column 'image', row 2: .*gone\.jpg does not exist"):
        bb.create_table("t", bb.read_coco(path))
    assert bb.list_tables() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"].append({"image_id": 99, "category_id": 3, "bbox": [0] * 4}),
         r"images that are not in the file: 99"),
        (lambda c: c["annotations"].append({"image_id": 7, "category_id": 5, "bbox": [0] * 4}),
         r"annotation 2 of .*category"),
        (lambda c: c["annotations"].append({"image_id": 7, "category_id": 3, "bbox": [0, "x"]}),
         r"annotation 2 of .*no box"),
        (lambda c: c.pop("images"), "no list of images"),
        (lambda c: c["categories"].append({"id": 8}), "no id or no name"),
    ],
)  # fmt: skip
def test_invalid_annotations_are_rejected(session, coco, change, message):
    with pytest.raises(DataError, match=message):
        bb.read_coco(coco(change))


def test_file_names_outside_the_folder_are_rejected(session, coco):
    path = coco(lambda c: c["images"].append({"id": 11, "file_name": "../../etc/passwd"}))
    with pytest.raises(MediaError, match="points outside"):
        list(bb.read_coco(path))


def test_missing_and_unreadable_files_are_rejected(session, photos):
    (photos / "cut.json").write_text('{"images": [')
    with pytest.raises(DataError, match=r"cut\.json' cannot be read"):
        bb.read_coco(photos / "cut.json")
    with pytest.raises(DataError, match="there is no file"):
        bb.read_coco(photos / "none.json")
    with pytest.raises(DataError, match="there is no folder"):
        bb.read_coco(photos / "none.json", photos / "none")


def test_invalid_boxes_column_is_rejected(session, tmp_path):
    table = bb.create_table("t", {"img": bb.Image, "boxes": bb.Array(bb.Float)})
    table.insert(img=Image.new("L", (2, 2)), boxes=[1.0])
    with pytest.raises(SchemaError, match="column 'boxes': boxes must be a list of structs"):
        table.to_coco(tmp_path / "out")
    with pytest.raises(SchemaError, match="column 'none'"):
        table.to_coco(tmp_path / "out", boxes="none")
