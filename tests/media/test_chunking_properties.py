from __future__ import annotations

import re
import unicodedata

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from barbule.media.documents import Block, DocumentText
from fakes.chunk_texts import bare, of, source_of, texts, tokens_of

# -- properties ------------------------------------------------------------------------------

SEPARATORS = ["。", "!", "?", "\n\n"]
SCRIPT = st.text(alphabet=st.sampled_from("abc .!?\n\t。羽毛👨‍👩‍👧éé\u2028\x1f"), max_size=120)
DOCS = st.lists(SCRIPT | st.text(max_size=60), max_size=4).map(lambda parts: of(*parts))


@settings(deadline=None)
@given(
    doc=DOCS,
    size=st.integers(1, 40) | st.none(),
    separators=st.sampled_from([SEPARATORS, [" "], None]),
)
def test_chunks_without_overlap_cover_the_text_once(doc, size, separators):
    cut = texts(doc, separators=separators, chunk_size=size)
    assert bare("".join(cut)) == bare(source_of(doc))
    assert all(text and text == text.strip() for text in cut)
    if size:
        assert all(len(text) <= size for text in cut)


@settings(deadline=None)
@given(
    text=st.text(alphabet=st.sampled_from("ab-.!\n "), max_size=60),
    separators=st.lists(st.text(st.sampled_from("-.!\n "), min_size=1, max_size=3), max_size=4),
)
def test_separator_runs_end_a_chunk(text, separators):
    # The longest separator first; an empty one never matches.
    ordered = sorted(map(re.escape, separators), key=len, reverse=True) or ["$^"]
    marked = re.sub(f"(?:{'|'.join(ordered)})+", lambda match: match[0] + "\0", text)
    expected = [piece.strip() for piece in marked.split("\0") if piece.strip()]
    assert texts(of(text), separators=separators) == expected


MARKS = [chr(0x2460 + index) for index in range(20)]


@settings(deadline=None)
@given(
    gaps=st.lists(st.sampled_from(["", "", " ", "\n\n", "mark"]), max_size=len(MARKS)),
    size=st.integers(2, 12),
    part=st.data(),
)
def test_chunks_with_overlap_cover_the_text_in_order(gaps, size, part):
    # Only white space occurs twice, so each chunk has a unique position in the source.
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
def test_named_separators_lose_no_text(doc, parts, limit):
    names = f"{parts},char_limit" if limit else parts
    cut = texts(doc, separators=names, limit=limit)
    assert bare("".join(cut)) == bare(source_of(doc))
    assert all(text and text == text.strip() for text in cut)
    if limit:
        assert all(len(text) <= limit for text in cut)


@pytest.mark.parametrize("parts", ["sentence", "paragraph"])
@pytest.mark.parametrize("limit_name", ["char_limit", "token_limit"])
def test_overlap_repeats_the_previous_parts_that_fit(parts, limit_name):
    count = len if limit_name == "char_limit" else tokens_of
    short = ["One is here.", "Two is there.", "Three is far.", "Four is near."]
    limit, overlap = 2 * count(short[2]) + 2, count(short[2]) + 1
    doc = of(*short) if parts == "paragraph" else of(" ".join(short))
    cut = texts(doc, separators=f"{parts},{limit_name}", limit=limit, overlap=overlap)
    gap = "\n\n" if parts == "paragraph" else " "
    assert cut == [short[0], *(gap.join(short[i : i + 2]) for i in range(3))]


def test_overlap_takes_words_of_a_long_part_within_the_limit():
    doc = of("A long sentence about many barbs. Two.")
    options = {"separators": "sentence,char_limit", "overlap": 12}
    assert texts(doc, **options, limit=40)[1] == "many barbs. Two."
    assert texts(doc, **options, limit=33)[1] == "many barbs. Two."
    full = of("One is here. " + "X" * 30 + ".")
    assert texts(full, **options, limit=31) == ["One is here.", "X" * 30 + "."]


def test_code_overlap_repeats_complete_lines():
    two, three = "def two():\n    return 2", "def three():\n    pass"
    code = f"def one():\n    a = 1\n    return a\n\n\n{two}\n\n\n{three}"
    plain = texts(of(code), separators="code", limit=40)
    assert plain == ["def one():\n    a = 1\n    return a", "def two():\n    return 2", plain[2]]
    cut = texts(of(code), separators="code", limit=40, overlap=13)
    assert cut[0] == plain[0]
    assert cut[1] == f"    return a\n\n\n{plain[1]}"
    assert cut[2] == f"    return 2\n\n\n{plain[2]}"


def test_overlap_does_not_cross_sections_and_pages():
    doc = DocumentText(
        None, (Block("One.", 1, "A"), Block("Two.", 1, "B"), Block("Three.", 2, "B"))
    )
    cut = texts(doc, separators="heading,sentence,char_limit", limit=30, overlap=10)
    assert cut == ["One.", "Two.", "Three."]


@settings(deadline=None)
@given(
    doc=DOCS,
    parts=st.sampled_from(["paragraph", "sentence", "heading,sentence"]),
    limit=st.integers(2, 30),
    limit_name=st.sampled_from(["char_limit", "token_limit"]),
    part=st.data(),
)
def test_overlapping_parts_stay_within_the_limit(doc, parts, limit, limit_name, part):
    overlap = part.draw(st.integers(1, limit - 1))
    cut = texts(doc, separators=f"{parts},{limit_name}", limit=limit, overlap=overlap)
    if limit_name == "char_limit":
        assert all(len(text) <= limit for text in cut)
    source = source_of(doc)
    assert all(text in source for text in cut)
    assert set(bare("".join(cut))) == set(bare(source))


@pytest.mark.parametrize("limit", [16, 32])
def test_chunks_have_at_most_the_token_limit(limit):
    # Without leading spaces these take one more token.
    lines = [
        "return value  # type: ignore[return-value]",
        '"error" or "ignore".',
        "tuple[str, ...]]:",
    ]
    code = "\n\n".join(
        " " * (4 * (n % 5)) + " ".join(lines[(n + k) % 3] for k in range(6)) for n in range(120)
    )
    for separators in ("token_limit", "paragraph,token_limit", "recursive,token_limit"):
        cut = texts(of(code), separators=separators, limit=limit)
        assert bare("".join(cut)) == bare(code)
        assert max(map(tokens_of, cut)) <= limit


CHARACTERS = {
    "thai": "ภาษาไทยที่ไม่มีวรรคตอนระหว่างคำนี้ยาวมาก" * 5,
    "family": "👨‍👩‍👧‍👦" * 30,
    "skin": "👍🏽" * 60,
    "flags": "🇩🇪🇫🇷" * 40,
    "hindi": "क्षत्रियराष्ट्रविद्यार्थी" * 10,
    "jamo": unicodedata.normalize("NFD", "한국어" * 30),
    "accents": unicodedata.normalize("NFD", "é" * 150),
    "keycaps": "1\ufe0f\u20e3" * 50,
}


@pytest.mark.parametrize("name", CHARACTERS)
@pytest.mark.parametrize("options", [
    {"separators": ["\n"], "chunk_size": 50},
    {"separators": "char_limit", "limit": 50},
    {"separators": "sentence,char_limit", "limit": 50},
])  # fmt: skip
def test_chunks_start_and_end_at_grapheme_boundaries(name, options):
    text = CHARACTERS[name]
    cut = texts(of(text), **options, overlap=20)
    assert len(cut) > 2
    characters = set(regex.findall(r"\X", text))
    assert all(set(regex.findall(r"\X", chunk)) <= characters for chunk in cut)
