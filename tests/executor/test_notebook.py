"""Notebook display: cells are rendered, no function is called, and data is escaped."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import ibis
import PIL.Image
import PIL.ImageChops
import pytest

import barbule as bb
from fakes.films import film, tone
from patience import PATIENCE

EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)


@bb.udf(on_error="null")
def inverse(x: int) -> float:
    """Divide one by a number."""
    return 1 / x


@pytest.fixture
def table(session, tmp_path):
    picture = tmp_path / "red.png"
    PIL.Image.new("RGB", (400, 200), (255, 0, 0)).save(picture)
    created_table = bb.create_table("shown", {"x": bb.Int, "img": bb.Image, "note": bb.String})
    created_table.insert(
        [{"x": 0, "img": str(picture), "note": EVIL}, {"x": 2, "img": None, "note": "fine"}]
    )
    created_table.add_computed_column(inverse=inverse(created_table.x))
    return created_table


def html_of(outputs) -> str:
    return outputs._repr_mimebundle_()["text/html"]


def test_html_shows_cell_values(table):
    text = html_of(table)
    assert text.count("data:image/") == 1
    assert "<b>ZeroDivisionError</b> division by zero" in text
    assert "0.5" in text
    assert "NULL" in text
    assert ">inverse<" in text
    assert "shown: table of 2 rows" in text


def test_html_escapes_data(table):
    for text in (html_of(table), table.collect()._repr_html_()):
        assert "<script" not in text
        assert "<img src=x" not in text
        assert "&lt;script&gt;" in text


def test_display_makes_no_calls(session):
    asked = []

    @bb.udf
    def counted(x: int) -> int:
        asked.append(x)
        return x

    table = bb.create_table("counting", {"x": bb.Int})
    table.insert([{"x": 1}, {"x": 2}])
    query = table.select(y=counted(table.x))
    before = ibis.options.interactive
    ibis.options.interactive = True
    try:
        outputs = [repr(query), html_of(query), repr(table), html_of(table)]
    finally:
        ibis.options.interactive = before
    assert asked == []
    assert ".collect()" in outputs[1]
    assert query.collect()["y"] == [1, 2]
    assert "<td" in query.collect()._repr_html_()


def test_display_of_a_long_table_shows_the_first_rows(session):
    table = bb.create_table("long", {"x": bb.Int})
    table.insert([{"x": number} for number in range(50)])
    text = html_of(table.order_by("x"))
    assert text.count("<tr>") == 21
    assert "The first 20 rows." in text
    assert "The first 20 rows of 50." in html_of(table)


@pytest.fixture
def media(session, tmp_path):
    """Return a table with a cell of each kind of media, once small, once too large to embed."""
    film("small.mp4", frames=8, size=(32, 32), sound="aac")
    film("old.avi", frames=8, size=(64, 48), codec="mpeg4", colors=[200] * 8)
    tone("small.mp3", 0.5, codec="libmp3lame")
    tone("large.wav", 90.0, codec="pcm_s16le")
    Path("page.md").write_text("# Vane\n\nIt has <b>barbs</b>.")
    created_table = bb.create_table(
        "media", {"clip": bb.Video, "sound": bb.Audio, "text": bb.Document}
    )
    created_table.insert(
        [
            {"clip": "small.mp4", "sound": "small.mp3", "text": "page.md"},
            {"clip": "old.avi", "sound": "large.wav", "text": None},
        ]
    )
    return created_table


def test_media_without_browser_support_are_previewed(media):
    text = html_of(media)
    assert text.count("<video controls") == 1
    assert text.count("<audio controls") == 2
    assert "old.avi, 0:01: its first frame" in text
    assert "large.wav, 1:30: its first 20 seconds" in text
    assert "<b>Vane</b>" in text
    assert "&lt;b&gt;" in text or "It has barbs" in text
    assert len(text) < 1_500_000


def test_media_in_lists_and_structs_are_rendered(table):
    table.add_computed_column(tiles=table.img.tile_iterator((100, 100)))
    text = html_of(table.select("tiles"))
    assert text.count("<img ") == 4
    assert "and 4 more" in text
    assert "tile_box" in text
    rows = table.where(table.x == 0).collect()
    assert rows[0, "tiles"][7]["tile"].getpixel((0, 0)) == (255, 0, 0)


def test_missing_media_file_shows_its_error(table, tmp_path):
    (tmp_path / "red.png").unlink()
    for text in (html_of(table), table.collect()._repr_html_()):
        assert 'class="error"' in text
        assert "red.png does not exist" in text


def test_images_are_embedded_as_thumbnails(session, tmp_path):
    PIL.Image.effect_noise((4000, 3000), 80).convert("RGB").save(tmp_path / "large.jpg")
    PIL.Image.new("RGB", (8, 8), "blue").save(tmp_path / "tiny.png")
    pictures = bb.create_table("pictures", {"img": bb.Image})
    pictures.insert([{"img": tmp_path / "large.jpg"}, {"img": tmp_path / "tiny.png"}])
    text = html_of(pictures)
    assert 'width="128" height="96" title="large.jpg (4000 × 3000)"' in text
    assert 'width="8" height="8" title="tiny.png (8 × 8)"' in text
    assert len(text) < 100_000


def page_screenshot(text: str, folder: Path) -> PIL.Image.Image:
    """Return what Chromium shows of a page."""
    (folder / "page.html").write_text(f"<!doctype html><meta charset=utf-8>{text}")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
        "--disable-background-networking --disable-component-update --disable-dev-shm-usage "
        "--window-size=900,700 --hide-scrollbars --virtual-time-budget=3000"
    )
    command = [
        str(BROWSER),
        *flags.split(),
        f"--user-data-dir={folder / 'browser'}",
        f"--screenshot={folder / 'page.png'}",
        (folder / "page.html").as_uri(),
    ]
    subprocess.run(command, capture_output=True, timeout=PATIENCE, check=True)
    return PIL.Image.open(folder / "page.png").convert("RGB")


def box_of(picture: PIL.Image.Image, colour: tuple[int, int, int]) -> tuple[int, ...] | None:
    """Return the box around the pixels that nearly have a colour."""
    near = [
        band.point([255 if abs(value - expected) < 24 else 0 for value in range(256)])
        for band, expected in zip(picture.split(), colour, strict=True)
    ]
    return PIL.ImageChops.darker(PIL.ImageChops.darker(near[0], near[1]), near[2]).getbbox()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_browser_renders_thumbnails_and_frames(session, tmp_path):
    PIL.Image.new("RGB", (400, 200), (255, 0, 0)).save(tmp_path / "red.png")
    film("old.avi", frames=8, size=(64, 48), codec="mpeg4", colors=[200] * 8)
    created_table = bb.create_table("shown", {"x": bb.Int, "img": bb.Image, "clip": bb.Video})
    created_table.insert(x=1, img=str(tmp_path / "red.png"), clip="old.avi")
    picture = page_screenshot(html_of(created_table), tmp_path)
    left, upper, right, lower = box_of(picture, (255, 0, 0)) or (0, 0, 0, 0)
    assert (right - left, lower - upper) == pytest.approx((128, 64), abs=3)
    frame = box_of(picture.crop((right, 0, 900, 700)), (200, 200, 200))
    assert frame is not None
    assert frame[2] - frame[0] >= 60
    assert upper > 20  # below the table header


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_browser_runs_no_script_from_data(session, tmp_path):
    """If one ran, the page would be blue; that a script of the page itself does is the check."""
    blue = "document.body.style.background='rgb(0,0,255)'"
    evil = f'<script>{blue}</script><img src=x onerror="{blue}"><svg onload="{blue}">'
    created_table = bb.create_table("shown", {evil: bb.String, "data": bb.Json, "img": bb.Image})
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(bb.errors.MediaError):
        created_table.insert({evil: evil, "data": None, "img": str(tmp_path / "a.png")})
    PIL.Image.new("RGB", (9, 9)).save(tmp_path / "on<svg onload=x>.png")
    created_table.insert(
        [{evil: evil, "data": {evil: evil}, "img": tmp_path / "on<svg onload=x>.png"}]
    )

    @bb.udf(on_error="null")
    def failing(text: str) -> str:
        raise ValueError(text)

    created_table.add_computed_column(why=failing(created_table[evil]))
    text = html_of(created_table) + created_table.collect()._repr_html_()
    assert text.count("onerror") > 4
    assert box_of(page_screenshot(text, tmp_path), (0, 0, 255)) is None
    assert box_of(page_screenshot(f"<script>onload=()=>{{{blue}}}</script>", tmp_path), (0, 0, 255))


def test_repr_html_equals_the_mimebundle_html(table):
    assert table._repr_html_() == table._repr_mimebundle_()["text/html"]
