from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barbule.errors import ConfigurationError
from barbule.media.chunking import split_document
from barbule.media.chunking.size_limit import by_tokens
from barbule.media.documents import Block, Box, DocumentText
from fakes.chunk_texts import bare, of, texts

# -- scripts without spaces ------------------------------------------------------------------

THAI = "ขนนกมีแกนกลาง กิ่งเล็กๆแตกออกจากแกนทั้งสองข้าง และตะขอของกิ่งเหล่านั้นเกี่ยวกันไว้ นกจึงบินได้"


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        # ends of sentences, then commas, then phrases
        (
            "羽毛很轻。它有羽轴，羽枝从羽轴两侧分出，羽小枝互相钩住。",
            16,
            ["羽毛很轻。它有羽轴，", "羽枝从羽轴两侧分出，", "羽小枝互相钩住。"],
        ),
        (
            "今日は天気がいいので散歩に行こうと思います",
            10,
            ["今日は天気がいいので", "散歩に行こうと", "思います"],
        ),
        ("「鳥が飛ぶ。」と彼は言った。本当だ！", 12, ["「鳥が飛ぶ。」", "と彼は言った。本当だ！"]),
    ],
)
def test_scripts_without_spaces_are_split_at_punctuation_and_phrases(text, size, expected):
    assert texts(of(text), separators="char_limit", limit=size) == expected


def test_thai_is_split_at_spaces_and_between_words():
    cut = texts(of(THAI), separators="char_limit", limit=50)
    assert cut[0] == "ขนนกมีแกนกลาง กิ่งเล็กๆแตกออกจากแกนทั้งสองข้าง"
    assert all(piece in THAI for piece in cut)
    word = "การศึกษาเกี่ยวกับขนนกแสดงให้เห็นว่าโครงสร้างของมันซับซ้อน"
    cut = texts(of(word), separators="char_limit", limit=20)
    assert "".join(cut) == word
    # no vowel or tone mark is separated from its consonant
    assert not any(unicodedata.category(piece[0]).startswith("M") for piece in cut)
    assert cut[0] == "การศึกษาเกี่ยวกับ"


@pytest.mark.parametrize("limit", [5, 12, 30])
@pytest.mark.parametrize("overlap", [0, 3])
def test_token_limit_applies_to_scripts_without_spaces(limit, overlap):
    source = "羽毛很轻。它有羽轴，羽枝从羽轴两侧分出，羽小枝互相钩住。" * 5 + THAI
    counter = by_tokens(limit, 0, "gpt-4")
    cut = texts(of(source), separators="token_limit", limit=limit, overlap=overlap)
    assert all(counter.fits(piece) for piece in cut)
    if overlap:
        assert len("".join(cut)) > len(bare(source))
    else:
        assert bare("".join(cut)) == bare(source)


DENSE = st.text(
    alphabet=st.sampled_from("羽毛。，、にひらก็ก์้ี กข\u200d👩\n"), min_size=1, max_size=200
)


@settings(deadline=None)
@given(text=DENSE, limit=st.integers(1, 40), overlap=st.integers(0, 10))
def test_scripts_without_spaces_lose_no_text(text, limit, overlap):
    overlap = min(overlap, limit - 1)
    cut = texts(of(text.strip()), separators="char_limit", limit=limit, overlap=overlap)
    assert all(piece and len(piece) <= limit for piece in cut)
    if not overlap:
        assert bare("".join(cut)) == bare(text)
    offset = 0
    for piece in cut:  # in order and without gaps
        position = text.find(piece, max(offset - overlap - 1, 0))
        assert position >= 0
        offset = position + len(piece)


# -- sentences -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Who met J. K. Smith. He left.", ["Dr. Who met J. K. Smith.", "He left."]),
        ("See e.g. Fig. 3. It shows.", ["See e.g. Fig. 3.", "It shows."]),
        ("It rose by 3.5 p.m. today... and fell.", ["It rose by 3.5 p.m. today... and fell."]),
        ('"Why?" he asked. "So!" Then', ['"Why?"', "he asked.", '"So!"', "Then"]),
        ("1. First item. 2. Second one.", ["1. First item.", "2. Second one."]),
        ("What?! No… Yes.", ["What?!", "No…", "Yes."]),
        ("A line\nbreak ends none. Two.", ["A line\nbreak ends none.", "Two."]),
        ("यह पंख है। वह पक्षी है।", ["यह पंख है।", "वह पक्षी है।"]),
        ("ما هذا؟ هذه ريشة.", ["ما هذا؟", "هذه ريشة."]),
        ("雨だ！？「行こう。」と言う。", ["雨だ！？", "「行こう。」", "と言う。"]),
        ("No end", ["No end"]),
    ],
)
def test_abbreviations_and_quotes_do_not_end_sentences(text, expected):
    assert texts(of(text), separators="sentence") == expected


# -- markdown and code -----------------------------------------------------------------------


def test_markdown_keeps_fences_and_lists_together():
    fence = "```py\nfirst = 1\n\nsecond = 2\n```"
    doc = DocumentText(
        None,
        (
            Block("Intro", heading="Intro"),
            Block("A few words before the code.", heading="Intro"),
            Block(fence, heading="Intro"),
            Block("Next", heading="Next"),
        ),
    )
    cut = texts(doc, separators="markdown", limit=45)
    assert fence in cut
    assert cut[-1] == "Next"
    assert texts(doc, separators="markdown,token_limit", limit=200)[0].endswith(fence)


PYTHON = '''import os


@cache
def first(x):
    """Say."""
    if x:
        return 1

    else:
        return 2


# about the second
class Second:
    def one(self):
        return 1

    def two(self):
        return 2
'''
BRACES = """package main

// first says
func first() int {
    if x {
        return 1
    }
    return 2
}

func second() {
}
"""


def test_code_is_split_between_definitions():
    cut = texts(of(PYTHON.rstrip()), separators="code", limit=120)
    assert [piece.split("\n")[0] for piece in cut] == ["import os", "# about the second"]
    cut = texts(of(PYTHON.rstrip()), separators="code", limit=70)
    assert "    def two(self):\n        return 2" in cut
    assert any(piece.startswith("@cache\ndef first(x):") for piece in cut)
    assert all(len(piece) <= 70 for piece in cut)
    cut = texts(of(BRACES.rstrip()), separators="code", limit=90)
    assert cut[0].startswith("package main")
    assert cut[1] == "func second() {\n}" or cut[-1] == "func second() {\n}"
    tokens = texts(of(PYTHON.rstrip()), separators="code,token_limit", limit=30)
    assert bare("".join(tokens)) == bare(PYTHON)


@settings(deadline=None)
@given(
    lines=st.lists(
        st.sampled_from(["def a():", "    x = 1", "", "}", "        y(", "@d", "# c", "else:"]),
        max_size=25,
    ),
    limit=st.integers(1, 60),
)
def test_code_loses_no_text(lines, limit):
    source = "\n".join(lines)
    cut = texts(of(source), separators="code", limit=limit)
    assert bare("".join(cut)) == bare(source)
    assert all(piece.strip() and len(piece) <= limit for piece in cut)


def test_recursive_fills_chunks_from_the_largest_parts():
    doc = of("One two. Three four.", "Five six.", "Seven eight nine.")
    assert texts(doc, separators="recursive", limit=32) == [
        "One two. Three four.\n\nFive six.",
        "Seven eight nine.",
    ]


# -- token options ---------------------------------------------------------------------------


def test_token_encodings_can_be_chosen():
    doc = of("anticonstitutionnellement " * 10)
    counts = {
        encoding: len(texts(doc, separators="token_limit", limit=8, tiktoken_encoding=encoding))
        for encoding in ("cl100k_base", "o200k_base", "p50k_base", "r50k_base")
    }
    assert counts["o200k_base"] <= counts["cl100k_base"]
    named = texts(doc, separators="token_limit", limit=8, tiktoken_target_model="gpt-4o")
    assert len(named) == counts["o200k_base"]
    with pytest.raises(ConfigurationError, match=r"tiktoken_encoding 'x' is not supported.*cl100k"):
        texts(doc, separators="token_limit", limit=8, tiktoken_encoding="x")
    with pytest.raises(ConfigurationError, match="tiktoken_target_model 'x' is not supported"):
        texts(doc, separators="token_limit", limit=8, tiktoken_target_model="x")


def test_bounding_box_covers_the_lines_of_a_chunk():
    first, second = Box(0, 20, 50, 30), Box(0, 5, 60, 15)
    block = Block("One line. Two lines.", page=1, boxes=((0, first), (10, second)))
    other = Block("Next page.", page=2, boxes=((0, Box(1, 2, 3, 4)),))
    doc = DocumentText(None, (block, other))
    sentences = split_document(doc, separators=["."])
    assert [chunk.bounding_box for chunk in sentences] == [first, second, Box(1, 2, 3, 4)]
    (joined,) = split_document(doc, separators=["."], chunk_size=100)
    assert joined.bounding_box == Box(0, 5, 60, 30)
