"""Decoding of text files, and detection of text."""

from __future__ import annotations

import pytest

import barbule as bb
from barbule.errors import ConfigurationError, MediaError
from barbule.media.documents import ReadingOptions, codec_of, read_document, validate_document
from barbule.media.documents.text.plain_text import decode

SENTENCES = {
    "French": ("L'été dernier, Noël à Besançon : où êtes-vous allés ? Ça coûte 5 €.", ["cp1252"]),
    "German": ("Überschrift: ein Straßenfest für alle Bürger in Köln, größer als je.", ["cp1252"]),
    "Spanish": ("El niño comió una piña en la mañana; ¿qué más quería?", ["cp1252", "latin-1"]),
    "Polish": ("Zażółć gęślą jaźń. Pójdźże, kiń tę chmurność!", ["cp1250", "iso8859-2"]),
    "Czech": ("Příliš žluťoučký kůň úpěl ďábelské ódy.", ["cp1250", "iso8859-2"]),
    "Hungarian": ("Árvíztűrő tükörfúrógép. Egy hűtlen vejét fülöncsípő.", ["cp1250"]),
    "Turkish": ("Pijamalı hasta yağız şoföre çabucak güvendi, değil mi?", ["cp1254"]),
    "Russian": ("Съешь ещё этих мягких французских булок, да выпей чаю.", ["cp1251", "koi8-r"]),
    "Greek": ("Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Η γλώσσα είναι ωραία.", ["cp1253"]),
    "Hebrew": ("דג סקרן שט בים מאוכזב ולפתע מצא חברה. שלום לכולם.", ["cp1255"]),
    "Thai": ("เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน", ["cp874"]),
    "Japanese": (
        "会議室の予約をお願いします。来週の月曜日は休日です。",
        ["cp932", "euc_jp", "iso2022_jp"],
    ),
    "Chinese": ("朱镕基总理说过这句话。我们今天去北京参观故宫博物院。", ["gb18030"]),
    "Taiwan": ("臺灣大學圖書館提供各種資料庫服務，歡迎同學使用。", ["big5"]),
    "Korean": ("안녕하세요. 똠방각하 펲시콜라. 오늘은 날씨가 매우 좋습니다.", ["cp949"]),
}


@pytest.mark.parametrize("name", SENTENCES)
@pytest.mark.parametrize("before", ["", "Some English stands before it, and is longer.\n" * 400])
def test_undeclared_encodings_are_detected(name, before):
    text, encodings = SENTENCES[name]
    for encoding in encodings:
        assert decode((before + text).encode(encoding)) == before + text


@pytest.mark.parametrize("text", ["Café", "für", "naïve", "5 €", "“Zitat”"])
def test_short_text_is_decoded_as_western(text):
    assert decode(text.encode("cp1252")) == text


@pytest.mark.parametrize("data", [b"\xff", b"\xe0\xa0", b"\xc0\x80", b"\x80"])
def test_invalid_byte_affects_no_other_text(data):
    text = "Bonjour à tous, ça va bien.\n"
    decoded = decode(text.encode() + data + b"\n" + text.encode())
    assert decoded.startswith(text)
    assert decoded.endswith("\n" + text)
    assert "\ufffd" in decoded


@pytest.mark.parametrize("text", ["Straßenfest für alle", "日本の鳥の羽毛", "Birds 🪶"])
def test_file_truncated_within_a_character_keeps_the_others(text):
    doubled = f"{text}\n{text}"
    cut = (doubled + text[-1] * 3).encode()[:-1]
    assert decode(cut).startswith(doubled)


@pytest.mark.parametrize(
    ("label", "text", "codec"),
    [
        ("gb2312", "朱镕基总理", "gb18030"),
        ("GBK", "朱镕基总理", "gb18030"),
        ("shift_jis", "①髙橋さん～㈱", "cp932"),
        ("x-sjis", "会議室予約", "cp932"),
        ("euc-kr", "똠방각하 펲시콜라", "cp949"),
        ("ks_c_5601-1987", "똠방각하 펲시콜라", "cp949"),
        ("iso-8859-1", "“smart” – 5 €", "cp1252"),
        ("us-ascii", "“smart” – 5 €", "cp1252"),
        ("iso-8859-9", "“değil”", "cp1254"),
        ("tis-620", "“ภาษา”", "cp874"),
        ("x-mac-roman", "“été”", "mac_roman"),
        ("iso-2022-jp", "会議室予約", "iso2022_jp"),
        ("big5", "臺灣大學", "big5"),
        ("koi8-r", "Привет", "koi8_r"),
    ],
)
@pytest.mark.parametrize("head", ['<meta charset="{}">', "<?xml version='1.0' encoding='{}'?>"])
def test_declared_encodings_follow_browsers(label, text, codec, head):
    page = f"{head.format(label)}<p>{text}</p>"
    assert decode(page.encode(codec)) == page


def test_invalid_byte_in_a_declared_encoding_affects_no_other_text():
    page = '<meta charset="shift_jis"><p>会議室の予約</p>'
    assert decode(page.encode("cp932") + b"\xfd").startswith(page)


@pytest.mark.parametrize("name", ["Japanese", "Chinese", "Korean", "Taiwan"])
def test_invalid_byte_in_an_undeclared_encoding_affects_no_other_text(name):
    text, (encoding, *_) = SENTENCES[name]
    lines = f"{text}\n" * 8
    decoded = decode(lines.encode(encoding) + b"\xff\n")
    assert decoded.startswith(lines)


@pytest.mark.parametrize("name", ["French", "Polish", "Russian", "Japanese", "Chinese"])
def test_encoding_of_one_long_line_is_detected(name):
    text, (encoding, *_) = SENTENCES[name]
    line = '{"rows": [' + '{"name": "barbule"}, ' * 4000 + f'"{text}"' + ', "hook"' * 4000 + "]}"
    assert decode(line.encode(encoding)) == line


def test_terminal_escapes_are_not_an_encoding():
    log = "\x1b[32mok\x1b(B\x1b[m done\n"
    assert decode(log.encode()) == log
    page = f'<meta charset="iso-2022-jp">{log}羽'
    assert decode(page.encode()) == page


def test_encoding_mentioned_in_text_is_ignored(tmp_path):
    path = tmp_path / "note.md"
    path.write_bytes("Write charset=koi8-r for Müller".encode("cp1252"))
    assert read_document(path).blocks[0].text == "Write charset=koi8-r for Müller"


def test_encoding_declared_in_code_is_used(tmp_path):
    path = tmp_path / "old.py"
    path.write_bytes("#!/usr/bin/python\n# -*- coding: koi8-r -*-\nx = 'да'\n".encode("koi8-r"))
    assert "'да'" in read_document(path).blocks[0].text
    path = tmp_path / "old.css"
    path.write_bytes('@charset "koi8-r"; a::before { content: "да" }'.encode("koi8-r"))
    assert '"да"' in read_document(path).blocks[0].text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["Feathers branch.\n", "羽毛は軽い。\n鳥", "Перья\nлегки"])
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.csv"])
def test_utf16_without_a_bom_is_detected(tmp_path, encoding, text, name):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    validate_document(path)
    decoded = "".join(block.text for block in read_document(path).blocks)
    assert "".join(decoded.split()) == "".join(text.split())


def test_explicit_encoding_overrides_detection(tmp_path):
    path = tmp_path / "short.txt"
    path.write_bytes("数据库".encode("gb18030"))
    docs = bb.create_table("docs", {"doc": bb.Document})
    docs.insert(doc=str(path))
    assert docs.select(x=docs.doc.text(encoding="gb2312")).collect()["x"] == ["数据库"]
    assert docs.select(x=docs.doc.pages(encoding="gb2312")).collect()["x"] == [["数据库"]]
    splitter = bb.functions.DocumentSplitter
    chunks = bb.create_view(
        "chunks", docs, iterator=splitter.create(docs.doc, "paragraph", encoding="gbk")
    )
    assert chunks.collect()["text"] == ["数据库"]
    with pytest.raises(ConfigurationError, match="encoding 'klingon' is not supported"):
        splitter.create(docs.doc, "paragraph", encoding="klingon")
    for method in ("text", "title", "metadata", "pages", "headings"):
        with pytest.raises(ConfigurationError, match="encoding 'klingon' is not supported"):
            getattr(docs.doc, method)(encoding="klingon")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("page.html", "<title>数据</title><h1>数据</h1><table><tr><td>数据</td></tr></table>"),
        ("rows.csv", "数据,二\n数据,三\n"),
        ("data.json", '{"title": "数据"}'),
        ("note.md", "# 数据\n"),
        ("data.xml", "<a><title>数据</title></a>"),
    ],
)
def test_every_text_format_accepts_an_encoding(tmp_path, name, source):
    path = tmp_path / name
    path.write_bytes(source.encode("gb18030"))
    doc = read_document(path, ReadingOptions(encoding="gb2312"))
    assert all("数据" in block.text for block in doc.blocks)


def test_bom_overrides_unicode_encodings_only():
    assert decode("\ufeff羽".encode("utf-16-le"), "utf-16") == "羽"
    assert decode("\ufeff羽".encode(), "utf-8") == "羽"
    assert decode(b"\xff\xfe", "cp1252") == "ÿþ"


@pytest.mark.parametrize("label", ["rot13", "base64", "hex", "idna", "unicode_escape", "no\0such"])
def test_unsupported_encoding_labels_are_unknown(label):
    assert codec_of(label) is None


# -- detection of text -----------------------------------------------------------------------


def test_stray_control_characters_are_accepted_in_text(tmp_path):
    path = tmp_path / "report.txt"
    path.write_bytes(b"Report of the day\x02 with a stray control character.")
    assert validate_document(path) == "text"
    path.write_bytes(b"Rows of a terminal,\x00 and a NUL in them. " * 10)
    assert "\0" not in read_document(path).blocks[0].text


@pytest.mark.parametrize(
    "data",
    [
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\xc8\x04\x00",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00",
        b"SQLite format 3\x00\x10\x00\x01\x01\x00@  \x00\x00\x00",
        bytes(range(256)) * 8,
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a"])
def test_binary_files_are_rejected(tmp_path, data, name):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(MediaError, match="is not in a supported document format"):
        validate_document(path)


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("about.md", "# The PDF format\n\nA PDF begins with `%PDF-1.7`.\n", "markdown"),
        ("about.md", "%PDF-1.7 is the first line.\n", "markdown"),
        ("about.txt", "%PDF-1.7 is the first line.\n", "text"),
        ("about.html", "<p>A PDF begins with %PDF-1.7</p>", "html"),
        ("about.csv", "format,mark\npdf,%PDF-\n", "csv"),
        ("about.py", "MAGIC = b'%PDF-'\n", "text"),
        ("about", "A PDF begins with %PDF-1.7.", "text"),
        ("tags.txt", "<html> tags explained: use <p> for paragraphs.\n", "text"),
        ("tags.csv", "<html>,root\n<p>,paragraph\n", "csv"),
        ("page.txt", "<!doctype html><p>A page</p>", "html"),
        ("page.txt", "<html>\n<!-- saved --><p>A page</p></html>", "html"),
        ("page.txt", "<html lang='en'><head></head><p>A page</p></html>", "html"),
        ("page.php", "<html><body><?php echo 1 ?></body></html>", "text"),
        ("cut.txt", "<?xml version='1.0'?><a>not closed", "text"),
    ],
)
def test_format_mentioned_in_text_is_ignored(tmp_path, name, source, expected):
    path = tmp_path / name
    path.write_text(source)
    assert validate_document(path) == expected
    assert read_document(path).blocks


def test_pdf_with_leading_bytes_is_detected(tmp_path):
    source = (
        b"HTTP/1.1 200 OK\n\n%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj\n"
        b"trailer<</Root 1 0 R>>\n%%EOF"
    )
    for name in ("a.pdf", "download"):
        (tmp_path / name).write_bytes(source)
        assert validate_document(tmp_path / name) == "pdf"
