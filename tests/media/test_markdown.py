"""The Markdown reader, compared with a complete Markdown parser as the reference."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from barbule.media.documents import read_document
from barbule.media.documents.text.markdown import read_markdown

CASES = [
    "# a\n## b\ntext\n### c ###\n",
    "a\n===\n\nb\n---\ntext\n---\n",
    "two\nlines\n===\n",
    "```\n# no\n\n# no\n```\n# yes\n",
    "~~~~ py\n# no\n~~~\n# no\n~~~~\n# yes\n",
    "````\n```\n# no\n\n````\n\n# yes",
    "```\n# never closed\n\n# no",
    "text\n```\n# no\n\n```\n# yes",
    "    # code\n\n# yes",
    "<!-- # no\n\n# no -->\n# yes",
    "<div>\n# no\n</div>\n\n# yes",
    "<pre>\n# no\n\n# no\n</pre>\n# yes",
    "<script>\n\n# no\n</script> \n\n# yes",
    "> # no\n\n# yes",
    "- # no\n\n# yes",
    "- item\n---\n\n# yes",
    "1. item\n# yes",
    "| a | b |\n|---|---|\n| # | 2 |\n\n# yes",
    "#no\n#\tyes\n#\n# \n####### no\n",
    "# *a* `b` [c](d) &amp; \\* <i>x</i>\n",
    "a\n\n\n# b\n\n  \n# c",
    "***\n# a\n___\nb\n- - -\n",
    "``` not ` a fence\n# yes",
    "<b>bold</b> text\n# yes",
    "<a href='x'>\n# no\n\n# yes",
    "text\n<div>\n# no\n\n# yes",
]


def reference_headings(source: str) -> list[tuple[str, int]]:
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    judged_blocks = []
    for index, token in enumerate(tokens):
        if token.type == "heading_open" and not token.level:
            children = tokens[index + 1].children or ()
            words = "".join(
                " " if child.type.endswith("break") else child.content for child in children
            )
            if text := " ".join(words.split()):
                judged_blocks.append((text, token.map[0] + 1))
    return judged_blocks


def headings(source: str) -> list[tuple[str, int]]:
    return [
        (block.text, block.sourceline)
        for block in read_markdown(source.encode()).blocks
        if block.heading and block.heading.rsplit(" > ", 1)[-1] == block.text
    ]


@pytest.mark.parametrize("source", CASES)
def test_headings_match_commonmark(source):
    assert headings(source) == reference_headings(source)


def test_code_and_list_items_keep_indentation():
    source = "1. step\n\n   ```yaml\n   a:\n     b: 1\n   ```\n\n\tx = 1\n\n  A paragraph.\n"
    assert [block.text for block in read_markdown(source.encode()).blocks] == [
        "1. step",
        "   ```yaml\n   a:\n     b: 1\n   ```",
        "\tx = 1",
        "A paragraph.",
    ]


def rows_of(source: str) -> list[list[list[str]]]:
    blocks = read_markdown(source.encode()).blocks
    return [[list(row) for row in block.rows] for block in blocks if block.rows]


def reference_rows(source: str) -> list[list[list[str]]]:
    tables: list[list[list[str]]] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    for index, token in enumerate(tokens):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type in {"th_close", "td_close"}:
            children = tokens[index - 1].children or ()
            tables[-1][-1].append("".join(child.content for child in children))
    return tables


@pytest.mark.parametrize(
    "source",
    [
        "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |",
        "a | b\n--|--\n1 | 2",
        "| a |\n|---|\n| 1 |",
        "| a | b |\n|:--|:-:|\n| **1** | `2` |\n\ntext",
        "Birds:\n| a | b |\n|---|---|\n| 1 | 2 |\n\n| c |\n|---|\n",
        "| a \\| b | c |\n|---|---|\n| 1 |\n| 1 | 2 | 3 |\n| | 2 |",
        "| a | b |\n|---|\n| 1 | 2 |",
        "a\n---\nb | c",
        "| a | b |\n|---|---|\n| 1 | 2 |\n> quote | x\n",
        "| a | b |\n|---|---|\n| 1 | 2 |\n# heading | x\n",
        "| a | b |\n|---|---|\n- item | x\n",
        "```\n| a | b |\n|---|---|\n```",
        "    | a | b |\n    |---|---|\n",
        "text | a\nmore\n---|---\nx",
        "  | a | b |\n  |---|---|\n  | 1 | [x](y) |",
        "| a | b |\n|---|---|\n| \u00e9 | &amp; |\r\n",
    ],
)
def test_tables_match_github(source):
    assert rows_of(source) == reference_rows(source)


def test_table_is_a_block_among_others():
    source = "# Birds\n\nThey are:\n| a |\n|---|\n| 1 |\n> and so on"
    blocks = read_markdown(source.encode()).blocks
    assert [(block.text, block.heading, block.sourceline, block.rows) for block in blocks] == [
        ("Birds", "Birds", 1, None),
        ("They are:", "Birds", 3, None),
        ("| a |\n|---|\n| 1 |", "Birds", 4, (("a",), ("1",))),
        ("> and so on", "Birds", 7, None),
    ]


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ("<!-- no -->\n\nyes", ["yes"]),
        ("<!-- no\n\nno -->\n\nyes", ["yes"]),
        ("yes <!-- no --> and yes", ["yes  and yes"]),
        ("# a <!-- no -->\n\nb", ["a", "b"]),
        ("<!-- no --> yes", [" yes"]),
        ("<!--> yes", [" yes"]),
        ("- item <!-- no -->\n- item", ["- item \n- item"]),
        ("<div>\n<!-- no -->\nyes\n</div>", ["<div>\n\nyes\n</div>"]),
        ("one <!-- no\nno --> two <!-- no -->", ["one  two"]),
        ("| a |\n|---|\n| 1 <!-- no --> |", ["| a |\n|---|\n| 1  |"]),
    ],
)
def test_comments_are_omitted(source, texts):
    document = read_markdown(source.encode())
    assert [block.text for block in document.blocks] == texts
    assert document.left_out == ("comments",)


@pytest.mark.parametrize(
    "source",
    [
        "`<!-- yes -->` is a comment",
        "``a ` <!-- yes -->`` is one",
        "```html\n<!-- yes -->\n```",
        "    <!-- yes -->",
        "<!-- never closed",
        "text <!-- never closed",
    ],
)
def test_text_that_resembles_a_comment_is_kept(source):
    document = read_markdown(source.encode())
    assert [block.text.strip() for block in document.blocks] == [source.strip()]
    assert document.left_out == ()


LINES = st.sampled_from(
    ["# a", "## b", "text", "more text", "", "", "```", "~~~", "> q", "***", "| a | b |", "  # c"]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(LINES, max_size=14).map("\n".join))
def test_headings_of_generated_lines_match_commonmark(source):
    assert headings(source) == reference_headings(source)


@settings(deadline=None)
@given(st.lists(LINES | st.text(alphabet="ab#-=`<>!\n ", max_size=12), max_size=10).map("\n".join))
def test_generated_text_keeps_every_word(source):
    text = "".join(block.text for block in read_markdown(source.encode()).blocks)
    for letter in "ab":
        assert text.count(letter) == source.count(letter)


def test_paragraphs_keep_inline_markup_and_headings_do_not(tmp_path):
    path = tmp_path / "note.md"
    path.write_text("# Down #\n\nA **barb** [hooks](u).\n\n- a\n- b\n\nLow\n---\n\n```\nx = 1\n```")
    texts = [block.text for block in read_document(path).blocks]
    assert texts[:2] == ["Down", "A **barb** [hooks](u)."]
    assert "Low" in texts
    assert any("```" in text for text in texts)
    assert not any(text.startswith("#") or "---" in text for text in texts)
