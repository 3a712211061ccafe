"""Files of other formats with the suffix .xlsx: the error names the actual format."""

from __future__ import annotations

import zipfile

import pytest

from barbule.errors import MediaError
from barbule.media.documents.reader import read_document

TYPES = '<Types><Override PartName="/xl/workbook.bin" ContentType="application/{}.main"/></Types>'
BINARY = TYPES.format("vnd.ms-excel.sheet.binary.macroEnabled")
XLSX = TYPES.format("vnd.openxmlformats-officedocument.spreadsheetml.sheet").replace(
    ".main", ".main+xml"
)
OPEN = "application/vnd.oasis.opendocument.spreadsheet"
OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            {"[Content_Types].xml": BINARY, "xl/workbook.bin": "a"},
            "is a zip archive but not a DOCX",
        ),
        ({"[Content_Types].xml": XLSX, "xl/workbook.bin": "a"}, "is a damaged XLSX file"),
        ({"mimetype": OPEN, "content.xml": "<a/>"}, "is a zip archive but not a DOCX"),
        ({"a.txt": "a"}, "is a zip archive but not a DOCX"),
        (OLD, "is an Office file in an old format"),
        (OLD + "EncryptedPackage".encode("utf-16-le"), "is a password-protected Office file"),
    ],
    ids=["xlsb", "xlsb called xlsx", "ods", "zip", "xls", "encrypted"],
)
def test_non_xlsx_content_is_rejected_with_its_format(tmp_path, content, reason):
    path = tmp_path / "a.xlsx"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as file:
            for name, part in content.items():
                file.writestr(name, part)
    with pytest.raises(MediaError, match=rf"a\.xlsx {reason}"):
        read_document(path)
