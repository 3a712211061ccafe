from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from semantic_text_splitter import TextSplitter

from barbule.errors import BarbuleError, ConfigurationError
from barbule.media.chunking import split_document
from barbule.media.chunking.size_limit import by_characters
from barbule.media.documents import Block, DocumentText, read_document
from fakes.chunk_texts import of, source_of, texts

DATA = Path(os.environ.get("BARBULE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
LIST = ["。", "!", "?", "\n\n"]

PAPER = DocumentText(
    "Feathers",
    (
        Block("Barbs", page=1, heading="Barbs", sourceline=1),
        Block("Barbs branch. They are many! Are they?\nYes.", 1, "Barbs", 3),
        Block("Hooks", page=2, heading="Barbs > Hooks", sourceline=6),
        Block("Barbules hook. Dr Who said so.", 2, "Barbs > Hooks", 8),
    ),
)


# -- the list form ---------------------------------------------------------------------------


def test_chunks_keep_separators_and_merge_up_to_chunk_size():
    doc = of("One is here! Two is here! Three?! Four", "Five")
    assert texts(doc, separators=LIST) == [
        "One is here!",
        "Two is here!",
        "Three?!",
        "Four",
        "Five",
    ]
    assert texts(doc, separators=LIST, chunk_size=25) == [
        "One is here! Two is here!",
        "Three?! Four\n\nFive",
    ]


def test_cjk_text_is_split_at_its_separators():
    doc = of("今日は天気がいい。散歩に行こう。明日は雨だ。")
    assert texts(doc, separators=LIST, chunk_size=17) == [
        "今日は天気がいい。散歩に行こう。",
        "明日は雨だ。",
    ]
    long = of("羽" * 50 + "。")
    cut = texts(long, separators=LIST, chunk_size=20, overlap=5)
    assert all(len(text) <= 20 for text in cut)
    assert cut[1].startswith("羽" * 5)


def test_long_piece_is_split_at_words():
    doc = of("many words without an end " * 20)
    cut = texts(doc, separators=LIST, chunk_size=60)
    assert max(map(len, cut)) <= 60
    assert {word for text in cut for word in text.split()} == {
        "many",
        "words",
        "without",
        "an",
        "end",
    }


def test_overlap_starts_at_a_separator_or_a_word():
    doc = of("Aa bb. Cc dd. Ee ff. Gg hh.")
    assert texts(doc, separators=["."], chunk_size=14, overlap=7) == [
        "Aa bb. Cc dd.",
        "Cc dd. Ee ff.",
        "Ee ff. Gg hh.",
    ]
    assert texts(doc, separators=["."], chunk_size=14, overlap=4)[1] == "dd. Ee ff."


def test_overlap_shrinks_to_fit_chunk_size():
    assert texts(of("Aaaa bbbb. Cccccccccc."), separators=["."], chunk_size=12, overlap=8) == [
        "Aaaa bbbb.",
        "Cccccccccc.",
    ]


def test_longest_separator_matches_first():
    assert texts(of("a--b-c"), separators=["-", "--"]) == ["a--", "b-", "c"]


def test_document_without_separators_is_one_chunk():
    assert texts(PAPER, separators=None) == [source_of(PAPER)]
    cut = texts(PAPER, separators=None, chunk_size=50)
    assert cut[0] == "Barbs\n\nBarbs branch. They are many! Are they?\nYes."


def test_chunk_has_the_position_of_its_first_character():
    chunks = split_document(PAPER, separators=[".", "\n"], chunk_size=20)
    assert [(c.text, c.pos, c.page, c.heading, c.sourceline) for c in chunks] == [
        ("Barbs\n\nBarbs branch.", 0, 1, "Barbs", 1),
        ("They are many!", 1, 1, "Barbs", 3),
        ("Are they?\nYes.", 2, 1, "Barbs", 3),
        ("Hooks", 3, 2, "Barbs > Hooks", 6),
        ("Barbules hook.", 4, 2, "Barbs > Hooks", 8),
        ("Dr Who said so.", 5, 2, "Barbs > Hooks", 8),
    ]
    assert {chunk.title for chunk in chunks} == {"Feathers"}
    assert [c.sourceline for c in split_document(PAPER, separators=["\n"])] == [1, 3, 4, 6, 8]


def test_empty_document_has_no_chunks():
    for separators in (None, LIST, "", "sentence", "page"):
        assert split_document(DocumentText("t", ()), separators=separators) == []
        assert split_document(of(" \n "), separators=separators) == []


# -- the string form -------------------------------------------------------------------------


def test_named_separators_split_pages_paragraphs_and_sentences():
    assert texts(PAPER, separators="page") == [
        "Barbs\n\nBarbs branch. They are many! Are they?\nYes.",
        "Hooks\n\nBarbules hook. Dr Who said so.",
    ]
    assert texts(PAPER, separators="") == texts(PAPER, separators="page")
    assert texts(PAPER, separators="paragraph") == [block.text for block in PAPER.blocks]
    assert texts(PAPER, separators="sentence, heading") == [
        "Barbs",
        "Barbs branch.",
        "They are many!",
        "Are they?",
        "Yes.",
        "Hooks",
        "Barbules hook.",
        "Dr Who said so.",
    ]


def test_heading_chunks_do_not_cross_headings():
    doc = DocumentText(None, (Block("a", 1, "A"), Block("b", 1, "A"), Block("c", 1, "B")))
    assert texts(doc, separators="heading") == ["a\n\nb", "c"]
    assert texts(doc, separators="char_limit", limit=100) == ["a\n\nb\n\nc"]


def test_sentences_of_several_scripts():
    doc = of("今日は雨だ。行こう！ Is 3.5 enough? It is.")
    assert texts(doc, separators="sentence") == [
        "今日は雨だ。",
        "行こう！",
        "Is 3.5 enough?",
        "It is.",
    ]


@pytest.mark.parametrize(
    ("limit", "overlap"),
    [(300, 50), (250, 0), (100, 99), (7, 3)],  # the last starts chunks within words
)
def test_long_text_is_split_in_windows_as_in_one_pass(limit, overlap):
    chance = random.Random(5)
    parts = ["feather", "a", "barb,", "hook.", "Who?", "羽", "\n", "\n\n", "\n\n\n", "   "]
    source = " ".join(chance.choices(parts, [9, 9, 5, 3, 1, 1, 1, 1, 1, 1], k=30_000))
    size_limit = by_characters(limit, overlap)
    indices = TextSplitter(limit, overlap, trim=False).chunk_indices(source)
    expected = [(start, start + len(text)) for start, text in indices]
    assert len(source) > 120_000
    assert list(size_limit._windows(source, 0, len(source))) == expected
    longest = max(end - start for start, end in _requested_windows(size_limit, source))
    assert longest < 60_000  # the splitter scans its whole input for each chunk


def _requested_windows(size_limit, source):
    """Return the spans passed to the splitter."""
    windows = []

    class Watched(type(size_limit)):
        def _spans(self, text, start, end):
            windows.append((start, end))
            return super()._spans(text, start, end)

    assert list(Watched(*size_limit)._windows(source, 0, len(source)))
    return windows


def test_character_and_token_limits():
    doc = of("one two three four five six")
    assert texts(doc, separators="char_limit", limit=10) == ["one two", "three four", "five six"]
    assert texts(doc, separators="char_limit", limit=10, overlap=5)[1].startswith("two")
    assert texts(doc, separators="token_limit", limit=2) == ["one two", "three four", "five six"]


# -- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"separators": LIST, "chunk_size": 0}, "chunk_size must be a positive integer"),
        ({"separators": LIST, "chunk_size": True}, "chunk_size must be a positive integer"),
        ({"separators": LIST, "chunk_size": "9"}, "chunk_size must be a positive integer"),
        ({"separators": LIST, "chunk_size": 9, "overlap": 9}, "less than chunk_size=9"),
        ({"separators": LIST, "chunk_size": 9, "overlap": -1}, "overlap must be an integer"),
        ({"separators": LIST, "overlap": 3}, "overlap requires a size"),
        ({"separators": LIST, "limit": 3}, "limit requires separators as a string"),
        ({"separators": ["", "."]}, "non-empty strings"),
        ({"separators": "sentences"}, "'sentences' are not supported.*'sentence'"),
        ({"separators": "char_limit"}, "need limit="),
        ({"separators": "sentence", "limit": 3}, "limit requires 'char_limit' or 'token_limit'"),
        ({"separators": "char_limit,token_limit", "limit": 3}, "not both"),
        ({"separators": "page", "chunk_size": 3}, "chunk_size requires a list"),
        ({"separators": "char_limit", "limit": 3, "overlap": 3}, "less than limit=3"),
        ({"separators": LIST, "metadata": ["author"]}, "metadata 'author' is not supported"),
    ],
)
def test_invalid_options_are_rejected(options, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        split_document(PAPER, **options)
    assert isinstance(caught.value, ValueError)


def test_metadata_option_is_validated():
    expected = split_document(PAPER, separators=LIST)
    assert split_document(PAPER, separators=LIST, metadata=["title", "page"]) == expected
    assert split_document(PAPER, separators=LIST, metadata="title,heading") == expected
    assert split_document(PAPER, separators=LIST, metadata=["bounding_box"]) == expected


def test_sections_of_one_heading_stay_separate(tmp_path):
    (tmp_path / "api.md").write_text("# API\n\n## Example\n\none\n\n## Example\n\ntwo\n")
    (tmp_path / "api.html").write_text(
        "<h1>API</h1><h2>Example</h2><p>one</p><h2>Example</h2><p>two</p>"
    )
    for name in ("api.md", "api.html"):
        chunks = split_document(read_document(tmp_path / name), separators="heading")
        assert [(chunk.heading, chunk.text) for chunk in chunks] == [
            ("API", "API"),
            ("API > Example", "Example\n\none"),
            ("API > Example", "Example\n\ntwo"),
        ]


def test_empty_heading_ends_a_section(tmp_path):
    (tmp_path / "a.md").write_text("# A\n\none\n\n#\n\ntwo\n")
    (tmp_path / "a.html").write_text("<h1>A</h1><p>one</p><h1></h1><p>two</p>")
    for name in ("a.md", "a.html"):
        chunks = split_document(read_document(tmp_path / name), separators="heading")
        assert [(chunk.heading, chunk.text) for chunk in chunks] == [
            ("A", "A\n\none"),
            (None, "two"),
        ]


def test_code_keeps_the_indentation_of_its_first_line(tmp_path):
    source = "Run:\n\n    if ready:\n        go()\n    stop()\n\nThen wait.\n"
    (tmp_path / "code.md").write_text(source)
    doc = read_document(tmp_path / "code.md")
    assert [block.text for block in doc.blocks] == [
        "Run:",
        "    if ready:\n        go()\n    stop()",
        "Then wait.",
    ]
    code = "    if ready:\n        go()\n    stop()"
    assert texts(doc, separators="paragraph")[1] == code
    assert texts(doc, separators=["\n\n"])[1] == code
    lines = texts(doc, separators=["\n"])
    assert lines[1:4] == ["    if ready:", "        go()", "    stop()"]
    # The limit applies: without room the indentation is dropped.
    assert all(len(text) <= 8 for text in texts(doc, separators="char_limit", limit=8))
    assert split_document(doc, separators="paragraph")[1].sourceline == 3


def test_invalid_options_fail_for_an_empty_document():
    with pytest.raises(BarbuleError, match="chunk_size"):
        split_document(of(), separators=LIST, chunk_size=-1)


@pytest.mark.skipif(not DATA.is_dir(), reason="BARBULE_TEST_DATA is not there")
def test_paper_is_chunked_with_pages():
    doc = read_document(DATA / "documents" / "1706.03762.pdf")
    chunks = split_document(doc, separators=LIST, chunk_size=300, overlap=50)
    assert len(chunks) > 150
    assert {chunk.page for chunk in chunks} == set(range(1, 16))
    assert max(len(chunk.text) for chunk in chunks) <= 300
