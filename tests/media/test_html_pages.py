"""HTML pages as a reader sees them: XHTML, EPUB pages, hidden content and nested tables."""

from __future__ import annotations

import zipfile

import pytest

import barbule as bb
from barbule.media.documents import read_document
from barbule.media.documents.html.html import read_html
from media_files import make_epub

XHTML = '<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml">{}</html>'
BODY = "<body><h1>One</h1><p>Hooks.</p></body>"
CLOSED = [
    "<head><title/></head>",
    '<head><script src="a.js"/></head>',
    "<head><style/></head>",
    "<head><title/><script/><style/></head>",
]


def words(data: bytes, **options) -> list[str]:
    return [block.text for block in read_html(data, **options).blocks]


@pytest.mark.parametrize("head", CLOSED)
@pytest.mark.parametrize("name", ["page.xhtml", "page.html"])
def test_xhtml_elements_can_be_self_closed_in_head(tmp_path, head, name):
    path = tmp_path / name
    path.write_text(XHTML.format(head + BODY))
    assert [block.text for block in read_document(path).blocks] == ["One", "Hooks."]


@pytest.mark.parametrize(
    "closed", ["button", "nav", "select", "object", "iframe", "canvas", "template", "textarea",
               "noscript", "svg", "a", "div", "p", "xmp", "noframes"],
)  # fmt: skip
def test_xhtml_body_elements_can_be_self_closed(closed):
    for page in (
        f"<p>One.</p><{closed}/><p>Two.</p>",
        f'<p>One.</p><{closed} id="x" /><p>Two.</p>',
    ):
        assert words(XHTML.format(f"<body>{page}</body>").encode()) == ["One.", "Two."]
        # Not well-formed: read as a browser shows it.
        assert words(XHTML.format(f"<body>{page}<br></body>").encode()) == ["One.", "Two."]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<p><![CDATA[raw & <b>text</b>]]></p>", ["raw & <b>text</b>"]),
        ("<p>caf&eacute;&nbsp;&amp; &#233;</p>", ["café & é"]),
        ("<p>a<br/>b<br></br>c</p>", ["a b c"]),
        ("<h:p xmlns:h='http://www.w3.org/1999/xhtml'>prefixed</h:p>", ["prefixed"]),
        ("<script>if (a &lt; b) {}</script><p>x</p><style>p {}</style>", ["x"]),
        ("<ul><li>one</li><li/><li>two</li></ul>", ["one", "two"]),
    ],
)
def test_xhtml_is_parsed_as_xml(source, expected):
    assert words(XHTML.format(f"<body>{source}</body>").encode()) == expected


def test_xhtml_entities_are_not_expanded():
    lol = "<!DOCTYPE html [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;'>]>"
    page = f'<?xml version="1.0"?>{lol}<html><body><p>Text &b;.</p></body></html>'
    assert "aaaa" not in "".join(words(page.encode()))
    assert "Text" in "".join(words(page.encode()))


def test_xhtml_source_lines_are_kept():
    page = XHTML.format("<head>\n<title/>\n</head>\n<body>\n<p>One.</p>\n<p>Two.</p></body>")
    assert [block.sourceline for block in read_html(page.encode()).blocks] == [6, 7]


def test_xhtml_language_is_read():
    page = '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="de"><p>x</p></html>'
    assert read_html(page.encode()).metadata == {"language": "de"}


@pytest.mark.parametrize("head", CLOSED)
def test_epub_chapters_are_all_read(tmp_path, head):
    chapters = {f"c{n}.xhtml": f"<body><h1>Chapter {n}</h1><p>Words.</p></body>" for n in range(3)}
    chapters["c1.xhtml"] = head + chapters["c1.xhtml"]
    document = read_document(make_epub(tmp_path / "book.epub", chapters))
    assert [block.text for block in document.blocks] == [
        text for n in range(3) for text in (f"Chapter {n}", "Words.")
    ]
    assert document.left_out == ()


def test_unread_epub_pages_are_reported(tmp_path):
    path = make_epub(tmp_path / "book.epub", {"a.xhtml": "<p>A.</p>", "n.xhtml": "<p>Note.</p>"})
    parts = {}
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    package = parts["OEBPS/book.opf"]
    package = package.replace(
        '<itemref idref="n.xhtml"/>', '<itemref idref="n.xhtml" linear="no"/>'
    )
    package = package.replace("</spine>", '<itemref idref="gone"/></spine>')
    parts["OEBPS/book.opf"] = package
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    document = read_document(path)
    assert [block.text for block in document.blocks] == ["A."]
    assert document.left_out == ("pages outside of the order", "pages that are missing")


# -- hidden content --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hidden",
    [
        "<p hidden>no</p>",
        "<p style='display:none'>no</p>",
        "<p style='color: red; DISPLAY : none;'>no</p>",
        "<div style='visibility: hidden'><p>no</p></div>",
        "<div aria-hidden='true'>no</div>",
        "<p>Shown.<span hidden>no</span></p>",
        "<div hidden><div hidden><nav>no</nav></div></div>",
    ],
)
def test_hidden_content_is_omitted(hidden):
    page = read_html(f"<p>Shown.</p>{hidden}<p>Shown.</p>".encode())
    assert "no" not in "".join(block.text for block in page.blocks)
    assert page.left_out == ("hidden text",)


@pytest.mark.parametrize(
    "visible",
    [
        "<p hidden='until-found'>yes</p>",
        "<p style='display:inline'>yes</p>",
        "<span style='display:none'><math><mi>yes</mi></math></span>",
        "<main aria-hidden='true'><p>yes</p></main>",
        "<div aria-hidden='true'><h1>yes</h1></div>",
        "<div aria-hidden='false'>yes</div>",
        "<details><summary>More</summary>yes</details>",
    ],
)
def test_content_that_resembles_hidden_is_read(visible):
    page = read_html(visible.encode())
    assert "yes" in "".join(block.text for block in page.blocks)
    assert page.left_out == ()


def test_body_hidden_until_script_runs_is_read():
    assert words(b"<body style='visibility:hidden'><p>Words.</p></body>") == ["Words."]


def test_omitted_content_is_reported(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(
        "<script>x</script><nav>Home</nav><svg><text>chart</text></svg><svg></svg>"
        "<aside>Advertisement</aside><button><svg><text>icon</text></svg></button><p>Text.</p>"
    )
    docs = bb.create_table("docs", {"doc": bb.Document})
    docs.insert(doc=str(path))
    (metadata,) = docs.select(x=docs.doc.metadata()).collect()["x"]
    assert metadata["left_out"] == ["navigation", "drawings", "buttons"]
    assert "aside" in read_html(path.read_bytes(), skip=["aside"]).left_out


def test_page_without_omissions_reports_none(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("Text.")
    docs = bb.create_table("docs", {"doc": bb.Document})
    docs.insert(doc=str(path))
    assert "left_out" not in docs.select(x=docs.doc.metadata()).collect()[0, "x"]


# -- tables, ruby text, soft hyphens ---------------------------------------------------------


def test_nested_table_is_read_as_cell_text():
    page = read_html(
        b"<table><tr><th>name</th><th>price</th></tr><tr><td>hook</td><td><table><tr><td>2.50</td>"
        b"<td>EUR</td></tr></table></td></tr><tr><td>barb</td><td>9</td></tr></table>"
    )
    (block,) = page.blocks
    assert block.rows == (("name", "price"), ("hook", "2.50 EUR"), ("barb", "9"))


def test_layout_table_is_not_a_table():
    inner = "<table><tr><th>a</th><td>b</td></tr></table>"
    page = read_html(f"<table><tr><td><p>Left.</p></td><td>{inner}</td></tr></table>".encode())
    assert [(block.text, block.rows) for block in page.blocks] == [
        ("Left.", None),
        ("a | b", (("a", "b"),)),
    ]


@pytest.mark.parametrize("reading", ["<rt>とう</rt>", "<rp>(</rp><rt>とう</rt><rp>)</rp>"])
def test_ruby_text_follows_its_base(reading):
    assert words(f"<p><ruby>東{reading}</ruby>へ</p>".encode()) == ["東(とう)へ"]


def test_soft_hyphens_are_removed_from_html():
    page = b"<h1>Do&shy;nau</h1><p>Schiff&shy;fahrt</p><table><tr><td>Do&#173;nau</td></tr></table>"
    page += b"<pre>Do&shy;nau</pre><p>Schiff<b>&shy;fahrt</b><br>x</p>"
    assert words(page) == ["Donau", "Schifffahrt", "Donau", "Donau", "Schifffahrt x"]
