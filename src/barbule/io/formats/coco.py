"""COCO: images and the objects on them.

Converts between annotations and the boxes of a row. The format is that of
https://cocodataset.org/#format-data ; boxes are [x, y, width, height] in pixels.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import DataError, SchemaError
from barbule.io.containment import DataSetRoot
from barbule.io.export_rows import FileNames, media_column, new_folder, plain_rows
from barbule.io.lazy_rows import Rows
from barbule.locations import expand_user, write_atomically
from barbule.media.archives import check_member
from barbule.types import Image

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path

    from barbule.io.export_rows import ExportRows

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
    """Read a COCO file as rows, one per image; see `Session.read_coco`."""
    path = expand_user(annotations)
    folder = expand_user(images) if images is not None else path.parent
    if not folder.is_dir():
        raise DataError(f"there is no folder {str(folder)!r}.", hint="Pass the folder as images=.")
    document = _parse(path)
    labels = _labels(document, path)
    boxes: dict[Any, list[dict[str, Any]]] = {}
    for number, annotation in enumerate(_records(document, "annotations", path)):
        box = _box(annotation, labels, number, path)
        boxes.setdefault(_id(annotation.get("image_id"), f"annotation {number}", path), []).append(
            box
        )
    image_records = _records(document, "images", path)
    image_ids = {
        _id(image.get("id"), f"image {number}", path) for number, image in enumerate(image_records)
    }
    if unknown_ids := boxes.keys() - image_ids:
        raise DataError(
            f"{str(path)!r} has annotations for images that are not in the file: "
            f"{', '.join(map(str, list(unknown_ids)[:5]))}.",
            hint="Add the images, or remove their annotations.",
        )

    containment = DataSetRoot(folder, f"the file {str(path)!r}", root)

    def read() -> Iterator[tuple[str | None, dict[str, Any]]]:
        for image in image_records:
            name = str(image.get("file_name", ""))
            check_member(name, str(path))
            yield (
                None,
                {
                    "image": containment.reference(name),
                    "id": image.get("id"),
                    "file_name": name,
                    "width": image.get("width"),
                    "height": image.get("height"),
                    "boxes": boxes.get(image.get("id"), []),
                },
            )

    return Rows(_COLUMNS, read, f"the images of {str(path)!r}")


def _records(document: dict[str, Any], name: str, path: Path) -> list[dict[str, Any]]:
    """Return a list of objects of the file; null counts as an empty list."""
    records = document.get(name) or []
    if isinstance(records, list) and all(isinstance(record, dict) for record in records):
        return records
    raise DataError(
        f"{name!r} of {str(path)!r} is not a list of objects.", hint="Correct the file."
    )


def _id(value: object, subject: str, path: Path) -> int | float | str | None:
    if value is None or isinstance(value, int | float | str):
        return value
    raise DataError(
        f"the id of {subject} of {str(path)!r} is neither a number nor a string.",
        value=value,
        hint="Correct the file.",
    )


def _parse(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"there is no file {str(path)!r}.", hint="Check the path.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"the file {str(path)!r} cannot be read: {error}.", hint="It may be truncated."
        ) from error
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise DataError(
            f"the file {str(path)!r} is not a COCO file: it has no list of images.",
            hint='Pass the file with {"images": …, "annotations": …, "categories": …}.',
        )
    return document


def _labels(document: dict[str, Any], path: Path) -> dict[Any, str]:
    try:
        return {
            category["id"]: str(category["name"])
            for category in _records(document, "categories", path)
        }
    except (KeyError, TypeError) as error:
        raise DataError(
            f"a category of {str(path)!r} has no id or no name.", hint="Correct the file."
        ) from error


def _box(
    annotation: dict[str, Any], labels: dict[Any, str], number: int, path: Path
) -> dict[str, Any]:
    try:
        x, y, width, height = map(float, annotation["bbox"])
        label = labels[annotation["category_id"]]
        area = float(annotation.get("area", width * height))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"annotation {number} of {str(path)!r} has no box of four numbers, or a category "
            "that is not in the file.",
            value=annotation,
            hint="Correct the file.",
        ) from error
    shape = annotation.get("segmentation")
    return {
        "label": label,
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "area": area,
        "iscrowd": bool(annotation.get("iscrowd", 0)),
        "segmentation": None if shape is None else json.dumps(shape),
    }


def write_coco(
    rows: ExportRows, folder: str | os.PathLike[str], column: str | None, boxes: str
) -> int:
    """Write images and their boxes: `images/` and `annotations.json` of a folder.

    Returns
    -------
    int
        The number of images that were written.
    """
    media_name = media_column(rows, column)
    _check_boxes(rows, boxes)
    with new_folder(folder) as target:
        return _write_coco(rows, target, media_name, boxes)


def _write_coco(rows: ExportRows, target: Path, media_name: str, boxes: str) -> int:
    import PIL.Image

    (target / "images").mkdir()
    names = FileNames(str(target))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    labels: dict[str, int] = {}
    for number, row in enumerate(plain_rows(rows)):
        if row[media_name] is None:
            continue
        source = rows.library.path(row[media_name])
        name = names.of(row.get("file_name"), row[media_name], source, number)
        (target / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / "images" / name)
        with PIL.Image.open(source) as image:
            width, height = image.size
        images.append({"id": number + 1, "file_name": name, "width": width, "height": height})
        for box in row[boxes] or []:
            label = labels.setdefault(str(box["label"]), len(labels) + 1)
            annotations.append(_annotation(box, len(annotations) + 1, number + 1, label))
    categories = [{"id": category_id, "name": label} for label, category_id in labels.items()]
    document = {"images": images, "annotations": annotations, "categories": categories}
    with write_atomically(target / "annotations.json") as file:
        file.write(json.dumps(document).encode())
    return len(images)


def _check_boxes(rows: ExportRows, boxes: str) -> None:
    kind = rows.schema.get(boxes) if boxes in rows.schema else None
    required = {"label", "x", "y", "width", "height"}
    inner = kind.value_type if isinstance(kind, dt.Array) else None
    if not isinstance(inner, dt.Struct) or required - set(inner.names):
        raise SchemaError(
            "boxes must be a list of structs with label, x, y, width and height.",
            column=boxes,
            hint="Pass such a column as boxes=; read_coco() returns one.",
        )


def _annotation(box: dict[str, Any], number: int, image: int, category: int) -> dict[str, Any]:
    annotation = {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [box["x"], box["y"], box["width"], box["height"]],
        "area": box.get("area") or box["width"] * box["height"],
        "iscrowd": int(bool(box.get("iscrowd"))),
    }
    if box.get("segmentation"):
        annotation["segmentation"] = json.loads(box["segmentation"])
    return annotation
