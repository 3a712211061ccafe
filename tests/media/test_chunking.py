from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barbule.errors import BarbuleError, ConfigurationError, UnsupportedError
from barbule.media.chunking import split_document
from barbule.media.documents import Block, DocumentText, read_document

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


def of(*texts: str) -> DocumentText:
    return DocumentText(None, tuple(Block(text) for text in texts))


def texts(doc, **options):
    return [chunk.text for chunk in split_document(doc, **options)]


def bare(text: str) -> str:
    return "".join(text.split())


def source_of(doc: DocumentText) -> str:
    return "\n\n".join(block.text for block in doc.blocks)


# -- the list form ---------------------------------------------------------------------------


def test_pieces_keep_their_separator_and_are_merged_up_to_the_size():
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


def test_cjk():
    doc = of("今日は天気がいい。散歩に行こう。明日は雨だ。")
    assert texts(doc, separators=LIST, chunk_size=17) == [
        "今日は天気がいい。散歩に行こう。",
        "明日は雨だ。",
    ]
    long = of("羽" * 50 + "。")
    cut = texts(long, separators=LIST, chunk_size=20, overlap=5)
    assert all(len(text) <= 20 for text in cut)
    assert cut[1].startswith("羽" * 5)


def test_a_long_piece_is_cut_at_words():
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


def test_overlap_gives_way_to_the_size():
    assert texts(of("Aaaa bbbb. Cccccccccc."), separators=["."], chunk_size=12, overlap=8) == [
        "Aaaa bbbb.",
        "Cccccccccc.",
    ]


def test_the_longest_separator_wins():
    assert texts(of("a--b-c"), separators=["-", "--"]) == ["a--", "b-", "c"]


def test_no_separators():
    assert texts(PAPER, separators=None) == [source_of(PAPER)]
    cut = texts(PAPER, separators=None, chunk_size=50)
    assert cut[0] == "Barbs\n\nBarbs branch. They are many! Are they?\nYes."


def test_chunks_carry_the_place_of_their_first_character():
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


def test_nothing_to_cut():
    for separators in (None, LIST, "", "sentence", "page"):
        assert split_document(DocumentText("t", ()), separators=separators) == []
        assert split_document(of(" \n "), separators=separators) == []


# -- the string form -------------------------------------------------------------------------


def test_parts_by_name():
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


def test_headings_are_not_crossed_on_one_page():
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


def test_limits_by_name():
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
        ({"separators": LIST, "overlap": 3}, "overlap needs a size"),
        ({"separators": LIST, "limit": 3}, "limit goes with separators given as a string"),
        ({"separators": ["", "."]}, "strings that are not empty"),
        ({"separators": "sentences"}, "'sentences' are not known.*'sentence'"),
        ({"separators": "char_limit"}, "need limit="),
        ({"separators": "sentence", "limit": 3}, "limit needs 'char_limit' or 'token_limit'"),
        ({"separators": "char_limit,token_limit", "limit": 3}, "not both"),
        ({"separators": "page", "chunk_size": 3}, "chunk_size goes with a list"),
        ({"separators": "char_limit", "limit": 3, "overlap": 3}, "less than limit=3"),
        ({"separators": LIST, "metadata": ["author"]}, "metadata 'author' is not known"),
    ],
)
def test_wrong_options(options, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        split_document(PAPER, **options)
    assert isinstance(caught.value, ValueError)


def test_metadata_is_checked():
    expected = split_document(PAPER, separators=LIST)
    assert split_document(PAPER, separators=LIST, metadata=["title", "page"]) == expected
    assert split_document(PAPER, separators=LIST, metadata="title,heading") == expected
    with pytest.raises(UnsupportedError, match="bounding_box"):
        split_document(PAPER, separators=LIST, metadata=["bounding_box"])


# -- laws ------------------------------------------------------------------------------------

SCRIPT = st.text(alphabet=st.sampled_from("abc .!?\n\t。羽毛👨‍👩‍👧éé\u2028\x1f"), max_size=120)
DOCS = st.lists(SCRIPT | st.text(max_size=60), max_size=4).map(lambda parts: of(*parts))


@settings(deadline=None)
@given(
    doc=DOCS, size=st.integers(1, 40) | st.none(), separators=st.sampled_from([LIST, [" "], None])
)
def test_without_overlap_nothing_is_lost_or_doubled(doc, size, separators):
    cut = texts(doc, separators=separators, chunk_size=size)
    assert bare("".join(cut)) == bare(source_of(doc))
    assert all(text and text == text.strip() for text in cut)
    if size:
        assert all(len(text) <= size for text in cut)


MARKS = [chr(0x2460 + index) for index in range(20)]


@settings(deadline=None)
@given(
    gaps=st.lists(st.sampled_from(["", "", " ", "\n\n", "mark"]), max_size=len(MARKS)),
    size=st.integers(2, 12),
    part=st.data(),
)
def test_with_overlap_chunks_cover_the_text_in_order(gaps, size, part):
    # No character but white space comes twice, so each chunk has one place in the source.
    source = "".join(
        chr(0x4E00 + index) + (MARKS[index] if gap == "mark" else gap)
        for index, gap in enumerate(gaps)
    )
    overlap = part.draw(st.integers(1, size - 1))
    reached, before = 0, -1
    for text in texts(of(source), separators=MARKS, chunk_size=size, overlap=overlap):
        start = source.index(text)
        assert len(text) <= size
        assert before < start
        assert reached - start <= overlap
        assert not source[reached:start].strip()
        before, reached = start, start + len(text)
    assert not source[reached:].strip()


@settings(deadline=None)
@given(
    doc=DOCS,
    parts=st.sampled_from(["", "page", "paragraph", "sentence", "heading,sentence"]),
    limit=st.integers(1, 30) | st.none(),
)
def test_named_parts_lose_nothing(doc, parts, limit):
    names = f"{parts},char_limit" if limit else parts
    cut = texts(doc, separators=names, limit=limit)
    assert bare("".join(cut)) == bare(source_of(doc))
    assert all(text and text == text.strip() for text in cut)
    if limit:
        assert all(len(text) <= limit for text in cut)


def test_options_fail_alike_whatever_the_document():
    with pytest.raises(BarbuleError, match="chunk_size"):
        split_document(of(), separators=LIST, chunk_size=-1)


@pytest.mark.skipif(not DATA.is_dir(), reason="BARBULE_TEST_DATA is not there")
def test_a_real_paper():
    doc = read_document(DATA / "documents" / "1706.03762.pdf")
    chunks = split_document(doc, separators=LIST, chunk_size=300, overlap=50)
    assert len(chunks) > 150
    assert {chunk.page for chunk in chunks} == set(range(1, 16))
    assert max(len(chunk.text) for chunk in chunks) <= 300
