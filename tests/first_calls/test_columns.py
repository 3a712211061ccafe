"""A column of any type, and any of its methods, can be the first use of barbule in a process."""

from __future__ import annotations

import pytest

import barbule as bb

BEGUN = True  # each program begins with the same lines
BEGIN = """
import barbule as bb
t = bb.get_table("things")
"""

ANYTHING = {"uri": "", "sha256": "", "changed": ""}
IMAGE = {
    **ANYTHING,
    "alpha_composite": "t.img.convert('RGBA')",
    "b64_encode": "",
    "blend": "t.img, 0.5",
    "composite": "t.img, t.img.convert('L')",
    "convert": "'L'",
    "crop": "[0, 0, 2, 2]",
    "effect_spread": "1",
    "encode": "'webp'",
    "enhance": "'Color', 0.5",
    "entropy": "",
    "exif_transpose": "",
    "filter": "'BLUR'",
    "format": "",
    "get_metadata": "",
    "getbands": "",
    "getbbox": "",
    "getchannel": "0",
    "getcolors": "",
    "getextrema": "",
    "getpalette": "",
    "getpixel": "[0, 0]",
    "getprojection": "",
    "height": "",
    "histogram": "",
    "mode": "",
    "point": "[0] * 768",
    "quantize": "4",
    "reduce": "2",
    "remap_palette": "[0]",
    "resize": "(2, 2)",
    "rotate": "90",
    "thumbnail": "(2, 2)",
    "tile_iterator": "[4, 4]",
    "transpose": "'FLIP_TOP_BOTTOM'",
    "width": "",
}
AUDIO = {
    **ANYTHING,
    "clip": "0.1, 0.5",
    "concat": "t.audio",
    "convert": "'flac'",
    "duration": "",
    "get_metadata": "",
    "resample": "8000",
    "segment": "0.5",
}
VIDEO = {
    **ANYTHING,
    "clip": "0.1, 0.5",
    "concat": "t.video",
    "duration": "",
    "extract_audio": "",
    "extract_frame": "0.5",
    "get_metadata": "",
    "overlay_text": "'barb'",
    "resample": "5",
    "scene_detect_adaptive": "",
    "scene_detect_content": "",
    "scene_detect_hash": "",
    "scene_detect_histogram": "",
    "scene_detect_threshold": "",
    "segment": "1.0",
}
DOCUMENT = {
    **ANYTHING,
    "headings": "",
    "metadata": "",
    "page_count": "",
    "page_image": "1",
    "pages": "",
    "source": "",
    "tables": "",
    "text": "",
    "title": "",
}
JSON = {
    "between": "1, 2",
    "cases": "('x', 1), else_=2",
    "cast": "'string'",
    "fill_null": "'x'",
    "identical_to": "'x'",
    "isin": "[1]",
    "isnull": "",
    "notin": "[2]",
    "notnull": "",
    "nullif": "'x'",
    "try_cast": "'int64'",
}
# Further methods: rejected by Json, string methods of Ibis on media.
INHERITED = {
    "meta": {"max", "min"},
    **{each: {"find"} for each in ("img", "audio", "video", "doc")},
}
MOMENT = {
    "between": "'2026-01-01', '2026-12-31'",
    "fill_null": "'2026-01-01'",
    "isin": "['2026-01-31']",
    "notin": "['2026-01-31']",
}
# Comparisons of media, where a path stands for the file that an insert refers to.
COMPARED = {
    "cases": "('missing.png', 1), else_=2",
    "fill_null": "t.{column}",
    "identical_to": "t.{column}",
    "nullif": "'missing.png'",
}
METHODS = {"img": IMAGE, "audio": AUDIO, "video": VIDEO, "doc": DOCUMENT, "meta": JSON}
for _column in ("img", "audio", "video", "doc"):
    METHODS[_column] |= {name: given.format(column=_column) for name, given in COMPARED.items()}
METHODS |= {"moment": MOMENT, "name": {"find": "'w'"}}
# Methods called on a part of the value or on a derived value.
SUBJECTS = {
    ("img", "alpha_composite"): "img.convert('RGBA')",
    ("img", "getpalette"): "img.convert('P')",
    ("img", "remap_palette"): "img.convert('P')",
    ("doc", "source"): "note",
    **{("meta", method): "meta.a.b[0]" for method in JSON},
}
# Methods of columns of any type, each with its call.
COLUMN = {
    "similarity": "t.select(x=t.name.similarity('two')).collect()",
    "embedding": "t.select(x=t.place.embedding()).collect()",
    "nearest": "t.place.nearest(bb.get_table('things').view().place, k=1, name='near').collect()",
    "search": "t.select(x=t.name.search('two')).collect()",
    "error": "t.select(x=t.wide.error).collect()",
    "to_pandas": "t.name.to_pandas()",
    "isin": "t.filter(t.name.isin(['two'])).collect()",
    "notin": "t.filter(t.name.notin(['two'])).collect()",
}
# The first expression on a column of each type.
TYPES = {
    "n": "n + 1",
    "name": "name.upper()",
    "score": "score.round(1)",
    "flag": "~t.flag",
    "moment": "moment.hour()",
    "day": "day.year()",
    "clock": "clock.hour()",
    "key": "key.cast('string')",
    "raw": "raw.notnull()",
    "price": "price.round(1)",
    "meta": "meta.a.b[0]",
    "words": "words.length()",
    "place": "place[0]",
    "inner": "inner['img'].width()",
    "boxes": "boxes[0].label",
    "img": "img.width()",
    "audio": "audio.uri()",
    "video": "video.uri()",
    "doc": "doc.text()",
    "small": "small.cast('int64')",
}


def _own(kind: type) -> set[str]:
    bases = [base for base in kind.__mro__ if base.__module__.startswith("barbule")]
    return {name for base in bases for name in vars(base) if not name.startswith("_")}


def test_methods_of_columns_are_all_covered(session):
    kinds = {"img": bb.Image, "audio": bb.Audio, "video": bb.Video, "doc": bb.Document}
    kinds |= {"meta": bb.Json, "moment": bb.Timestamp, "name": bb.String}
    t = bb.create_table("t", kinds)
    for column, methods in METHODS.items():
        more = INHERITED.get(column, set())
        assert _own(type(t[column])) == {*methods, *more, *COLUMN}, column


def test_column_types_are_all_covered():
    made = (bb.Int, bb.String, bb.Float, bb.Bool, bb.Timestamp, bb.Date, bb.Time, bb.UUID)
    made += (bb.Binary, bb.Json, bb.Image, bb.Audio, bb.Video, bb.Document)
    assert len(TYPES) > len(made)


@pytest.mark.parametrize("column", METHODS)
def test_column_methods_work_first_in_a_process(column, run_with_database):
    lines = []
    for method, arguments in METHODS[column].items():
        value = SUBJECTS.get((column, method), column)
        lines.append(f"got = t.select(x=t.{value}.{method}({arguments})).collect()['x']")
        lines.append(f"assert any(each is not None for each in got), ({method!r}, got)")
    run_with_database("\n".join([BEGIN, *lines]))


@pytest.mark.parametrize("method", COLUMN)
def test_method_of_any_column_works_first_in_a_process(method, run_with_database):
    run_with_database(f"{BEGIN}import user_functions\nassert len({COLUMN[method]}) >= 1\n")


@pytest.mark.parametrize("column", TYPES)
def test_column_of_any_type_works_first_in_a_process(column, run_with_database):
    expression = TYPES[column] if TYPES[column].startswith("~") else f"t.{TYPES[column]}"
    run_with_database(
        f"{BEGIN}got = t.select(x={expression}).collect()\n"
        "assert any(each is not None for each in got['x']), got\n"
    )
