"""Spreadsheets and separated values as their programs show them."""

from __future__ import annotations

import pytest

from barbule.media.documents import read_document
from barbule.media.documents.office.spreadsheets import read_csv


def rows_of(path) -> list[tuple[str, ...]]:
    return [row for block in read_document(path).blocks for row in block.rows]


def workbook():
    import openpyxl

    return openpyxl.Workbook()


def test_formulas_without_cached_values_are_shown(tmp_path):
    book = workbook()
    sheet = book.active
    sheet.append(["item", "price", "total"])
    sheet.append(["hook", 2.5, "=B2*2"])
    sheet["C3"] = "=SUM(C2:C2)"
    other = book.create_sheet("Späte & frühe")
    other["B5"] = 7
    other["A5"] = "=B5"
    other["D9"] = '=IF(B5>3,"a & b","c")'
    book.create_sheet("plain").append([1])
    book.save(tmp_path / "a.xlsx")
    assert rows_of(tmp_path / "a.xlsx") == [
        ("item", "price", "total"),
        ("hook", "2.5", "=B2*2"),
        ("", "", "=SUM(C2:C2)"),
        ("=B5", "7"),
        ("", "", "", '=IF(B5>3,"a & b","c")'),
        ("1",),
    ]


def test_formulas_with_cached_values_show_the_values(tmp_path):
    import xlsxwriter

    book = xlsxwriter.Workbook(tmp_path / "a.xlsx")
    sheet = book.add_worksheet()
    sheet.write_formula("A1", "=1+2", None, 3)
    sheet.write_formula("C1", "=7*3", None, 21)
    book.close()
    assert rows_of(tmp_path / "a.xlsx") == [("3", "", "21")]


def test_sheet_of_formulas_only_is_read(tmp_path):
    book = workbook()
    book.active["C3"] = "=1+1"
    book.active["XFD1048576"] = "=2+2"
    book.save(tmp_path / "a.xlsx")
    first, last = rows_of(tmp_path / "a.xlsx")
    assert first[-1] == "=1+1"
    assert last[-1] == "=2+2"


def test_non_cell_content_is_reported_as_omitted(tmp_path):
    import xlsxwriter

    book = xlsxwriter.Workbook(tmp_path / "a.xlsx")
    sheet = book.add_worksheet()
    sheet.write("A1", 1)
    sheet.write_comment("A1", "Why?")
    sheet.insert_textbox("B2", "A box")
    chart = book.add_chart({"type": "line"})
    chart.add_series({"values": "=Sheet1!$A$1"})
    sheet.insert_chart("C3", chart)
    book.close()
    assert read_document(tmp_path / "a.xlsx").left_out == ("comments", "charts", "text boxes")


@pytest.mark.parametrize("first_line", ["sep=;", '"sep=;"', "SEP=;", "sep=;\r"])
def test_first_line_can_declare_the_separator(first_line):
    blocks = read_csv(f"{first_line}\nname;age\nAnn, Bo;5\n".encode()).blocks
    assert [(block.rows, block.sourceline) for block in blocks] == [
        ((("name", "age"),), 2),
        ((("Ann, Bo", "5"),), 3),
    ]


def test_column_name_that_resembles_a_separator_line_is_kept():
    assert read_csv(b"sep=x,y\n1,2\n").blocks[0].rows == (("sep=x", "y"),)
