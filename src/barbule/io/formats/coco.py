"""COCO: images and the objects on them.

Owns how annotations become boxes of a row and boxes annotations. The form is that of
https://cocodataset.org/#format-data ; the boxes are [x, y, width, height] in pixels.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import DataError, SchemaError
from barbule.io.containment import DataSetRoot
from barbule.io.export_rows import Names, media_column, new_folder, plain_rows
from barbule.io.lazy_rows import Rows
from barbule.locations import expanded, written_atomically
from barbule.media.archives import check_member
from barbule.types import Image

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path

    from barbule.io.export_rows import Exported

__all__ = ["BOX", "read_coco", "write_coco"]

BOX = dt.Struct(
    {
        "label": dt.string,
        "x": dt.float64,
        "y": dt.float64,
        "width": dt.float64,
        "height": dt.float64,
        "area": dt.float64,
        "iscrowd": dt.boolean,
        "segmentation": dt.string,
    }
)
_COLUMNS = {
    "image": Image(),
    "id": dt.int64,
    "file_name": dt.string,
    "width": dt.int64,
    "height": dt.int64,
    "boxes": dt.Array(BOX),
}


def read_coco(
    annotations: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    root: str | os.PathLike[str] | None = None,
) -> Rows:
    """Make rows of a COCO file, one of each image; see `Session.read_coco`."""
    path = expanded(annotations)
    folder = expanded(images) if images is not None else path.parent
    if not folder.is_dir():
        raise DataError(f"there is no folder {str(folder)!r}.", hint="Give images= the folder.")
    found = _parsed(path)
    labels = _labels(found, path)
    boxes: dict[Any, list[dict[str, Any]]] = {}
    for number, each in enumerate(_records(found, "annotations", path)):
        box = _box(each, labels, number, path)
        boxes.setdefault(_id(each.get("image_id"), f"annotation {number}", path), []).append(box)
    images_told = _records(found, "images", path)
    known = {
        _id(each.get("id"), f"image {number}", path) for number, each in enumerate(images_told)
    }
    if strange := boxes.keys() - known:
        raise DataError(
            f"{str(path)!r} has annotations of images that are not in it: "
            f"{', '.join(map(str, list(strange)[:5]))}.",
            hint="Add the images, or leave out their annotations.",
        )

    reach = DataSetRoot(folder, f"the file {str(path)!r}", root)

    def read() -> Iterator[tuple[str | None, dict[str, Any]]]:
        for each in images_told:
            name = str(each.get("file_name", ""))
            check_member(name, str(path))
            yield (
                None,
                {
                    "image": reach.reference(name),
                    "id": each.get("id"),
                    "file_name": name,
                    "width": each.get("width"),
                    "height": each.get("height"),
                    "boxes": boxes.get(each.get("id"), []),
                },
            )

    return Rows(_COLUMNS, read, f"the images of {str(path)!r}")


def _records(found: dict[str, Any], name: str, path: Path) -> list[dict[str, Any]]:
    """Return a list of the file; null is an empty one."""
    records = found.get(name) or []
    if isinstance(records, list) and all(isinstance(each, dict) for each in records):
        return records
    raise DataError(f"{name!r} of {str(path)!r} is no list of objects.", hint="Correct the file.")


def _id(value: Any, what: str, path: Path) -> Any:
    if value is None or isinstance(value, int | float | str):
        return value
    raise DataError(
        f"the id of {what} of {str(path)!r} is no number and no text.",
        value=value,
        hint="Correct the file.",
    )


def _parsed(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"there is no file {str(path)!r}.", hint="Check the path.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"the file {str(path)!r} cannot be read: {error}.", hint="It may be cut off."
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("images"), list):
        raise DataError(
            f"the file {str(path)!r} is no COCO file: it has no list of images.",
            hint='Give the file with {"images": …, "annotations": …, "categories": …}.',
        )
    return found


def _labels(found: dict[str, Any], path: Path) -> dict[Any, str]:
    try:
        return {each["id"]: str(each["name"]) for each in _records(found, "categories", path)}
    except (KeyError, TypeError) as error:
        raise DataError(
            f"a category of {str(path)!r} has no id or name.", hint="Correct the file."
        ) from error


def _box(each: dict[str, Any], labels: dict[Any, str], number: int, path: Path) -> dict[str, Any]:
    try:
        x, y, width, height = map(float, each["bbox"])
        label = labels[each["category_id"]]
        area = float(each.get("area", width * height))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"annotation {number} of {str(path)!r} has no box of four numbers, or a category "
            "that is not in the file.",
            value=each,
            hint="Correct the file.",
        ) from error
    shape = each.get("segmentation")
    return {
        "label": label,
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "area": area,
        "iscrowd": bool(each.get("iscrowd", 0)),
        "segmentation": None if shape is None else json.dumps(shape),
    }


def write_coco(
    rows: Exported, folder: str | os.PathLike[str], column: str | None, boxes: str
) -> int:
    """Write images and their boxes: `images/` and `annotations.json` of a folder.

    Returns
    -------
    int
        How many images were written.
    """
    chosen = media_column(rows, column)
    _check_boxes(rows, boxes)
    with new_folder(folder) as target:
        return _write_coco(rows, target, chosen, boxes)


def _write_coco(rows: Exported, target: Path, chosen: str, boxes: str) -> int:
    import PIL.Image

    (target / "images").mkdir()
    names = Names(str(target))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    labels: dict[str, int] = {}
    for number, row in enumerate(plain_rows(rows)):
        if row[chosen] is None:
            continue
        source = rows.library.path(row[chosen])
        name = names.of(row.get("file_name"), row[chosen], source, number)
        (target / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / "images" / name)
        with PIL.Image.open(source) as image:
            width, height = image.size
        images.append({"id": number + 1, "file_name": name, "width": width, "height": height})
        for box in row[boxes] or []:
            label = labels.setdefault(str(box["label"]), len(labels) + 1)
            annotations.append(_annotation(box, len(annotations) + 1, number + 1, label))
    categories = [{"id": place, "name": label} for label, place in labels.items()]
    written = {"images": images, "annotations": annotations, "categories": categories}
    with written_atomically(target / "annotations.json") as file:
        file.write(json.dumps(written).encode())
    return len(images)


def _check_boxes(rows: Exported, boxes: str) -> None:
    kind = rows.schema.get(boxes) if boxes in rows.schema else None
    needed = {"label", "x", "y", "width", "height"}
    inner = kind.value_type if isinstance(kind, dt.Array) else None
    if not isinstance(inner, dt.Struct) or needed - set(inner.names):
        raise SchemaError(
            "boxes are a list of structs with label, x, y, width and height.",
            column=boxes,
            hint="Give boxes= such a column; read_coco() makes one.",
        )


def _annotation(box: dict[str, Any], number: int, image: int, category: int) -> dict[str, Any]:
    made = {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [box["x"], box["y"], box["width"], box["height"]],
        "area": box.get("area") or box["width"] * box["height"],
        "iscrowd": int(bool(box.get("iscrowd"))),
    }
    if box.get("segmentation"):
        made["segmentation"] = json.loads(box["segmentation"])
    return made
