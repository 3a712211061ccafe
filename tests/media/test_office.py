"""Word documents and presentations as a reader sees them."""

from __future__ import annotations

import pytest

from barbule.media.documents import read_document

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"
NAMES = (
    f'xmlns:w="{W}" xmlns:r="{R}" xmlns:m="{MATH}" '
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" '
    'xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:a14="http://schemas.microsoft.com/office/drawing/2010/main"'
)
CHART = f"""<c:chartSpace {NAMES}><c:chart><c:title><c:tx><c:rich><a:p>
<a:r><a:t>Revenue </a:t></a:r><a:r><a:t>by region</a:t></a:r></a:p></c:rich></c:tx></c:title>
<c:plotArea><c:barChart><c:ser>
<c:tx><c:strRef><c:strCache><c:pt idx="0"><c:v>2024</c:v></c:pt></c:strCache></c:strRef></c:tx>
<c:cat><c:strRef><c:strCache><c:pt idx="0"><c:v>North</c:v></c:pt>
<c:pt idx="1"><c:v>South</c:v></c:pt></c:strCache></c:strRef></c:cat>
<c:val><c:numRef><c:numCache><c:pt idx="1"><c:v>21.4</c:v></c:pt></c:numCache></c:numRef></c:val>
</c:ser></c:barChart></c:plotArea></c:chart></c:chartSpace>"""
POINT = '<dgm:pt modelId="{0}"><dgm:t><a:p><a:r><a:t>{1}</a:t></a:r></a:p></dgm:t></dgm:pt>'
DIAGRAM = f"""<dgm:dataModel {NAMES}><dgm:ptLst><dgm:pt modelId="0" type="doc"/>
{POINT.format(3, "Ship")}{POINT.format(1, "Collect")}{POINT.format(2, "Sort")}
</dgm:ptLst><dgm:cxnLst>
<dgm:cxn srcId="0" destId="3" srcOrd="1"/><dgm:cxn srcId="0" destId="1" srcOrd="0"/>
<dgm:cxn srcId="1" destId="2" srcOrd="0"/><dgm:cxn type="presOf" srcId="3" destId="9"/>
</dgm:cxnLst></dgm:dataModel>"""


def run(text: str, properties: str = "") -> str:
    return f"<w:r><w:rPr>{properties}</w:rPr><w:t xml:space='preserve'>{text}</w:t></w:r>"


class Word:
    """A document that is written as XML."""

    def __init__(self) -> None:
        import docx

        self.document = docx.Document()

    def part(self, kind: str, source: str) -> str:
        from docx.opc.packuri import PackURI
        from docx.opc.part import Part

        part = self.document.part
        name = PackURI(f"/word/{kind}{len(part.rels)}.xml")
        new = Part(name, "application/xml", source.encode(), part.package)
        return part.relate_to(new, f"{R}/{kind}")

    def add(self, *paragraphs: str) -> Word:
        from docx.oxml import parse_xml

        for paragraph in paragraphs:
            element = parse_xml(f"<w:p {NAMES}>{paragraph}</w:p>")
            self.document.element.body.insert_element_before(element, "w:sectPr")
        return self

    def read(self, tmp_path):
        self.document.save(tmp_path / "a.docx")
        return read_document(tmp_path / "a.docx")

    def texts(self, tmp_path) -> list[str]:
        return [block.text for block in self.read(tmp_path).blocks]


def test_moved_text_is_read_at_its_destination(tmp_path):
    word = Word().add(
        run("First."),
        f"<w:moveFrom w:id='3'>{run('It moves.')}</w:moveFrom>",
        run("Second."),
        f"<w:moveTo w:id='6'>{run('It moves.')}</w:moveTo>",
    )
    assert word.texts(tmp_path) == ["First.", "Second.", "It moves."]


def test_deleted_and_hidden_text_is_omitted(tmp_path):
    deleted = "<w:del w:id='1'><w:r><w:delText>gone</w:delText></w:r></w:del>"
    word = Word().add(
        run("One") + deleted + f"<w:ins w:id='2'>{run(' and two')}</w:ins>",
        run("Seen ") + run("secret", "<w:vanish/>") + run("again", '<w:vanish w:val="0"/>'),
    )
    document = word.read(tmp_path)
    assert [block.text for block in document.blocks] == ["One and two", "Seen again"]
    assert document.left_out == ("deleted text", "hidden text")
    assert Word().add(run("One")).read(tmp_path).left_out == ()


def test_comments_are_omitted(tmp_path):
    word = Word().add(run("One"))
    comment = f"<w:comment w:id='1'><w:p>{run('Why?')}</w:p></w:comment>"
    word.part("comments", f"<w:comments {NAMES}>{comment}</w:comments>")
    document = word.read(tmp_path)
    assert [block.text for block in document.blocks] == ["One"]
    assert document.left_out == ("comments",)


@pytest.mark.parametrize("kind", ["footnote", "endnote"])
def test_notes_follow_their_paragraph(tmp_path, kind):
    word = Word()
    word.document.add_heading("Terms", 1)
    word.add(
        run("Two years.") + f'<w:r><w:{kind}Reference w:id="2"/></w:r>',
        run("More."),
    )
    notes = (
        f'<w:{kind} w:id="-1" w:type="separator"><w:p/></w:{kind}>'
        f'<w:{kind} w:id="2"><w:p>{run(" Not for ")}</w:p><w:p>{run("batteries.")}</w:p></w:{kind}>'
        f'<w:{kind} w:id="3"><w:p>{run("Of deleted text.")}</w:p></w:{kind}>'
    )
    word.part(f"{kind}s", f"<w:{kind}s {NAMES}>{notes}</w:{kind}s>")
    blocks = word.read(tmp_path).blocks
    assert [(block.text, block.heading) for block in blocks] == [
        ("Terms", "Terms"),
        ("Two years.", "Terms"),
        ("Not for\nbatteries.", "Terms"),
        ("More.", "Terms"),
    ]


def test_note_with_two_references_is_read_once(tmp_path):
    reference = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    word = Word().add(run("One.") + reference, run("Two.") + reference)
    note = f'<w:footnote w:id="2"><w:p>{run("Estimated.")}</w:p></w:footnote>'
    word.part("footnotes", f"<w:footnotes {NAMES}>{note}</w:footnotes>")
    assert word.texts(tmp_path) == ["One.", "Estimated.", "Two."]


def test_table_notes_follow_the_table(tmp_path):
    from docx.oxml import parse_xml

    word = Word()
    table = word.document.add_table(1, 1)
    cell = table.cell(0, 0)._tc
    reference = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    cell.append(parse_xml(f"<w:p {NAMES}>{run('7')}{reference}</w:p>"))
    note = f'<w:footnote w:id="2"><w:p>{run("Estimated.")}</w:p></w:footnote>'
    word.part("footnotes", f"<w:footnotes {NAMES}>{note}</w:footnotes>")
    assert word.texts(tmp_path) == ["7", "Estimated."]


def test_headers_and_footers_are_read_once(tmp_path):
    word = Word().add(run("Body."))
    section = word.document.sections[0]
    section.header.paragraphs[0].text = "Contract 4711"
    section.footer.paragraphs[0].text = "Confidential"
    section.first_page_header.paragraphs[0].text = "Draft"
    second = word.document.add_section()
    second.header.is_linked_to_previous = False
    second.header.paragraphs[0].text = "Contract 4711"
    second.footer.is_linked_to_previous = False
    second.footer.paragraphs[0].text = "3"
    assert word.texts(tmp_path) == ["Contract 4711", "Body.", "Confidential"]
    word.document.sections[0].different_first_page_header_footer = True
    assert "Draft" in word.texts(tmp_path)


def test_headers_belong_to_no_section(tmp_path):
    from barbule.media.chunking import split_document

    word = Word()
    word.document.sections[0].header.paragraphs[0].text = "Contract 4711"
    word.document.sections[0].footer.paragraphs[0].text = "Confidential"
    word.add(run("Preamble."))
    word.document.add_heading("Terms", 1)
    chunks = split_document(word.read(tmp_path), separators="heading")
    assert [(chunk.text, chunk.heading) for chunk in chunks] == [
        ("Contract 4711", None),
        ("Preamble.", None),
        ("Terms", "Terms"),
        ("Confidential", None),
    ]


def math(*parts: str) -> str:
    return f"<m:oMath>{''.join(parts)}</m:oMath>"


def m(name: str, **parts: str) -> str:
    inner = (
        f"<m:{key}>{value if value.startswith('<') else t(value)}</m:{key}>"
        for key, value in parts.items()
    )
    return f"<m:{name}>{''.join(inner)}</m:{name}>"


def t(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (math(t("E=m"), m("sSup", e="c", sup="2")), "E=mc^2"),
        (math(m("f", num="a+b", den="2")), "(a+b)/2"),
        (math(m("sSub", e="x", sub="i+1")), "x_(i+1)"),
        (math(m("sSubSup", e="x", sub="i", sup="2")), "x_i^2"),
        (math(m("rad", deg="", e="x+1")), "√(x+1)"),
        (math(m("rad", deg="3", e="x")), "3√x"),
        (
            math(f'<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub>{t("i=1")}</m:sub>'
                 f'<m:sup>{t("n")}</m:sup><m:e>{t("i")}</m:e></m:nary>'),
            "∑_(i=1)^n i",
        ),
        (math(f"<m:d><m:e>{t('a')}</m:e><m:e>{t('b')}</m:e></m:d>"), "(a|b)"),
        (math(m("func", fName="sin", e="x")), "sin x"),
        (math(m("limLow", e="lim", lim="x→0")), "lim_(x→0)"),
        (
            math(f"<m:m><m:mr><m:e>{t('1')}</m:e><m:e>{t('0')}</m:e></m:mr>"
                 f"<m:mr><m:e>{t('0')}</m:e><m:e>{t('1')}</m:e></m:mr></m:m>"),
            "1, 0; 0, 1",
        ),
        (math(m("sSup", e=m("f", num="a", den="b"), sup="2")), "a/b^2"),
        (f"<m:oMathPara>{math(t('a+b=c'))}</m:oMathPara>", "a+b=c"),
    ],
)  # fmt: skip
def test_formulas_are_read_as_text(tmp_path, source, expected):
    word = Word().add(run("Here ") + source + run(" ends."))
    assert word.texts(tmp_path) == [f"Here {expected} ends."]


def test_ruby_text_follows_its_base(tmp_path):
    ruby = f"<w:ruby><w:rt>{run('とう')}</w:rt><w:rubyBase>{run('東')}</w:rubyBase></w:ruby>"
    assert Word().add(f"<w:r>{ruby}</w:r>" + run("へ")).texts(tmp_path) == ["東(とう)へ"]


def test_soft_hyphens_are_removed_from_docx(tmp_path):
    word = Word().add(run("Do\u00adnau") + "<w:r><w:softHyphen/></w:r>" + run("schiff"))
    assert word.texts(tmp_path) == ["Donauschiff"]


def test_docx_charts_and_diagrams_are_read(tmp_path):
    word = Word()
    chart, diagram = word.part("chart", CHART), word.part("diagramData", DIAGRAM)
    word.add(
        run("Before.")
        + f'<w:r><w:drawing><wp:inline><a:graphic><a:graphicData><c:chart r:id="{chart}"/>'
        "</a:graphicData></a:graphic></wp:inline></w:drawing></w:r>",
        f'<w:r><w:drawing><wp:inline><a:graphic><a:graphicData><dgm:relIds r:dm="{diagram}"/>'
        "</a:graphicData></a:graphic></wp:inline></w:drawing></w:r>",
    )
    blocks = word.read(tmp_path).blocks
    assert [block.text for block in blocks] == [
        "Before.",
        "Revenue by region\n | 2024\nNorth |\nSouth | 21.4",
        "Collect\nSort\nShip",
    ]
    assert blocks[1].rows == (("", "2024"), ("North", ""), ("South", "21.4"))


def test_drawing_with_a_missing_part_is_skipped(tmp_path):
    word = Word().add(run("Text.") + '<w:r><w:drawing><c:chart r:id="rId999"/></w:drawing></w:r>')
    assert word.texts(tmp_path) == ["Text."]


# -- presentations ---------------------------------------------------------------------------


class Talk:
    def __init__(self) -> None:
        import pptx

        self.presentation = pptx.Presentation()
        self.slide = self.presentation.slides.add_slide(self.presentation.slide_layouts[6])

    def box(self, text: str, left: float, top: float, height: float = 1) -> Talk:
        from pptx.util import Inches

        box = self.slide.shapes.add_textbox(*map(Inches, (left, top, 3, height)))
        box.text_frame.text = text
        return self

    def add(self, source: str) -> Talk:
        from pptx.oxml import parse_xml

        self.slide.shapes._spTree.append(parse_xml(source))
        return self

    def read(self, tmp_path):
        self.presentation.save(tmp_path / "a.pptx")
        return read_document(tmp_path / "a.pptx")

    def texts(self, tmp_path) -> list[str]:
        return [block.text for block in self.read(tmp_path).blocks]


def test_slide_shapes_are_read_from_top_to_bottom(tmp_path):
    talk = Talk().box("bottom", 1, 6).box("right", 5, 2.1).box("left", 1, 2).box("top", 1, 0.5)
    assert talk.texts(tmp_path) == ["top", "left", "right", "bottom"]


def test_grouped_shapes_are_read_together(tmp_path):
    from pptx.util import Inches

    talk = Talk().box("bottom", 1, 6)
    group = talk.slide.shapes.add_group_shape()
    for text, top in (("second", 3), ("first", 2)):
        group.shapes.add_textbox(*map(Inches, (1, top, 2, 0.5))).text_frame.text = text
    talk.box("top", 1, 0.5)
    assert talk.texts(tmp_path) == ["top", "first", "second", "bottom"]


def test_slide_charts_are_read(tmp_path):
    from pptx.chart.data import CategoryChartData, XyChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    talk = Talk()
    data = CategoryChartData()
    data.categories = ["North", "South"]
    data.add_series("2024", (19.2, None))
    data.add_series("2025", (20, 22.5))
    position = tuple(map(Inches, (1, 1, 4, 3)))
    chart = talk.slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *position, data).chart
    chart.has_title = True
    chart.chart_title.text_frame.text = "Revenue by region"
    points = XyChartData()
    points.add_series("Growth").add_data_point(1, 2.5)
    talk.slide.shapes.add_chart(XL_CHART_TYPE.XY_SCATTER, *map(Inches, (1, 5, 4, 2)), points)
    blocks = talk.read(tmp_path).blocks
    assert blocks[0].text.startswith("Revenue by region\n")
    assert blocks[0].rows == (("", "2024", "2025"), ("North", "19.2", "20"), ("South", "", "22.5"))
    assert blocks[1].rows == (("", "Growth"), ("1", "2.5"))


def test_slide_diagrams_are_read(tmp_path):
    from pptx.opc.package import Part
    from pptx.opc.packuri import PackURI

    talk = Talk()
    part = talk.slide.part
    name = PackURI("/ppt/diagrams/data1.xml")
    data = Part(name, "application/xml", part.package, DIAGRAM.encode())
    identifier = part.relate_to(data, f"{R}/diagramData")
    talk.add(
        f'<p:graphicFrame {NAMES}><p:nvGraphicFramePr><p:cNvPr id="9" name="d"/>'
        "<p:cNvGraphicFramePr/><p:nvPr/></p:nvGraphicFramePr>"
        '<p:xfrm><a:off x="0" y="0"/><a:ext cx="9" cy="9"/></p:xfrm><a:graphic>'
        '<a:graphicData uri="http://schemas.openxmlformats.org/drawingml/2006/diagram">'
        f'<dgm:relIds r:dm="{identifier}"/></a:graphicData></a:graphic></p:graphicFrame>'
    )
    assert talk.texts(tmp_path) == ["Collect\nSort\nShip"]


def test_alternate_content_and_formulas_are_read(tmp_path):
    shape = (
        '<p:sp><p:nvSpPr><p:cNvPr id="7" name="x"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/>'
        "<p:txBody><a:bodyPr/><a:p>{}</a:p></p:txBody></p:sp>"
    )
    formula = math(t("A="), m("sSup", e="r", sup="2"))
    chosen = shape.format(f"<a:r><a:t>Area </a:t></a:r><a14:m>{formula}</a14:m>")
    other = shape.format("<a:r><a:t>no</a:t></a:r>")
    talk = Talk().add(
        f'<mc:AlternateContent {NAMES}><mc:Choice Requires="a14">{chosen}</mc:Choice>'
        f"<mc:Fallback>{other}</mc:Fallback></mc:AlternateContent>"
    )
    assert talk.texts(tmp_path) == ["Area A=r^2"]
