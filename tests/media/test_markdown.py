"""The Markdown reader beside a parser of all of Markdown, which is the judge of its headings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from barbule.media.documents.markdown import read_markdown

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


def judged(source: str) -> list[tuple[str, int]]:
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    found = []
    for index, token in enumerate(tokens):
        if token.type == "heading_open" and not token.level:
            children = tokens[index + 1].children or ()
            words = "".join(
                " " if each.type.endswith("break") else each.content for each in children
            )
            if text := " ".join(words.split()):
                found.append((text, token.map[0] + 1))
    return found


def headings(source: str) -> list[tuple[str, int]]:
    return [
        (block.text, block.sourceline)
        for block in read_markdown(source.encode()).blocks
        if block.heading and block.heading.rsplit(" > ", 1)[-1] == block.text
    ]


@pytest.mark.parametrize("source", CASES)
def test_headings_are_those_of_commonmark(source):
    assert headings(source) == judged(source)


def test_what_stands_in_columns_keeps_its_indentation():
    source = "1. step\n\n   ```yaml\n   a:\n     b: 1\n   ```\n\n\tx = 1\n\n  A paragraph.\n"
    assert [block.text for block in read_markdown(source.encode()).blocks] == [
        "1. step",
        "   ```yaml\n   a:\n     b: 1\n   ```",
        "\tx = 1",
        "A paragraph.",
    ]


LINES = st.sampled_from(
    ["# a", "## b", "text", "more text", "", "", "```", "~~~", "> q", "***", "| a | b |", "  # c"]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(LINES, max_size=14).map("\n".join))
def test_headings_of_any_lines_are_those_of_commonmark(source):
    assert headings(source) == judged(source)


@settings(deadline=None)
@given(st.lists(LINES | st.text(alphabet="ab#-=`<>!\n ", max_size=12), max_size=10).map("\n".join))
def test_no_word_is_lost(source):
    kept = "".join(block.text for block in read_markdown(source.encode()).blocks)
    for letter in "ab":
        assert kept.count(letter) == source.count(letter)
