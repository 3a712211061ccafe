"""Tables in notebooks: what they hold is shown, nothing is called, no data becomes markup."""

from __future__ import annotations

import shutil
import subprocess

import ibis
import PIL.Image
import pytest

import barbule as bb

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
    made = bb.create_table("shown", {"x": bb.Int, "img": bb.Image, "note": bb.String})
    made.insert(
        [{"x": 0, "img": str(picture), "note": EVIL}, {"x": 2, "img": None, "note": "fine"}]
    )
    made.add_computed_column(inverse=inverse(made.x))
    return made


def html_of(shown) -> str:
    return shown._repr_mimebundle_()["text/html"]


def test_cells_show_what_they_hold(table):
    text = html_of(table)
    assert text.count("data:image/") == 1
    assert "ZeroDivisionError: division by zero" in text
    assert "0.5" in text
    assert "NULL" in text
    assert "inverse<br>" in text


def test_data_is_never_markup(table):
    for text in (html_of(table), table.collect()._repr_html_()):
        assert "<script" not in text
        assert "<img src=x" not in text
        assert "&lt;script&gt;" in text


def test_nothing_is_called_to_be_shown(session):
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
        shown = [repr(query), html_of(query), repr(table), html_of(table)]
    finally:
        ibis.options.interactive = before
    assert asked == []
    assert ".collect()" in shown[1]
    assert query.collect()["y"] == [1, 2]
    assert "<td" in query.collect()._repr_html_()


def test_long_tables_show_their_beginning(session):
    table = bb.create_table("long", {"x": bb.Int})
    table.insert([{"x": number} for number in range(50)])
    text = html_of(table.order_by("x"))
    assert text.count("<tr>") == 21
    assert "The first 20 rows." in text


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_browser_shows_thumbnails_and_runs_nothing(table, tmp_path):
    """What a browser makes of it: the picture has its size, and the page its title."""
    page = tmp_path / "page.html"
    check = (
        "<script>addEventListener('load',()=>document.body.dataset.widths="
        "[...document.images].map(each=>each.naturalWidth>0).join())</script>"
    )
    page.write_text(f"<meta charset=utf-8><title>mine</title>{check}{html_of(table)}")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
        "--disable-background-networking --disable-component-update --disable-dev-shm-usage"
    )
    done = subprocess.run(
        [
            str(BROWSER),
            *flags.split(),
            f"--user-data-dir={tmp_path / 'browser'}",
            "--virtual-time-budget=2000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "<title>mine</title>" in done.stdout
    assert 'data-widths="true"' in done.stdout
