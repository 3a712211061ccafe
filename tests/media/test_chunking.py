from __future__ import annotations

import os
import random
import re
import unicodedata
from pathlib import Path

import litellm
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from semantic_text_splitter import TextSplitter

from barbule.errors import BarbuleError, ConfigurationError
from barbule.media.chunking import split_document
from barbule.media.chunking.size_limit import by_characters, by_tokens
from barbule.media.documents import Block, Box, DocumentText, read_document

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


def tokens_of(text: str) -> int:
    return len(litellm.encoding.encode(text, disallowed_special=()))


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


@pytest.mark.parametrize(
    ("limit", "overlap"),
    [(300, 50), (250, 0), (100, 99), (7, 3)],  # the last begins chunks within words
)
def test_long_text_is_cut_window_by_window_as_in_one_go(limit, overlap):
    chance = random.Random(5)
    parts = ["feather", "a", "barb,", "hook.", "Who?", "羽", "\n", "\n\n", "\n\n\n", "   "]
    source = " ".join(chance.choices(parts, [9, 9, 5, 3, 1, 1, 1, 1, 1, 1], k=30_000))
    size_limit = by_characters(limit, overlap)
    indices = TextSplitter(limit, overlap, trim=False).chunk_indices(source)
    expected = [(start, start + len(text)) for start, text in indices]
    assert len(source) > 120_000
    assert list(size_limit._windows(source, 0, len(source))) == expected
    longest = max(end - start for start, end in _requested_windows(size_limit, source))
    assert longest < 60_000  # for each chunk the splitter goes through all that it got


def _requested_windows(size_limit, source):
    """Return the spans that the splitter gets."""
    windows = []

    class Watched(type(size_limit)):
        def _spans(self, text, start, end):
            windows.append((start, end))
            return super()._spans(text, start, end)

    assert list(Watched(*size_limit)._windows(source, 0, len(source)))
    return windows


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
    assert split_document(PAPER, separators=LIST, metadata=["bounding_box"]) == expected


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


@settings(deadline=None)
@given(
    text=st.text(alphabet=st.sampled_from("ab-.!\n "), max_size=60),
    separators=st.lists(st.text(st.sampled_from("-.!\n "), min_size=1, max_size=3), max_size=4),
)
def test_text_ends_behind_each_run_of_separators(text, separators):
    # The longest first; an empty one would end nothing.
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


@pytest.mark.parametrize("parts", ["sentence", "paragraph"])
@pytest.mark.parametrize("limit_name", ["char_limit", "token_limit"])
def test_named_parts_repeat_what_fits_of_those_before(parts, limit_name):
    count = len if limit_name == "char_limit" else tokens_of
    short = ["One is here.", "Two is there.", "Three is far.", "Four is near."]
    limit, overlap = 2 * count(short[2]) + 2, count(short[2]) + 1
    doc = of(*short) if parts == "paragraph" else of(" ".join(short))
    cut = texts(doc, separators=f"{parts},{limit_name}", limit=limit, overlap=overlap)
    gap = "\n\n" if parts == "paragraph" else " "
    assert cut == [short[0], *(gap.join(short[i : i + 2]) for i in range(3))]


def test_a_part_repeats_words_of_a_long_one_before_it_and_gives_way_at_the_limit():
    doc = of("A long sentence about many barbs. Two.")
    options = {"separators": "sentence,char_limit", "overlap": 12}
    assert texts(doc, **options, limit=40)[1] == "many barbs. Two."
    assert texts(doc, **options, limit=33)[1] == "many barbs. Two."
    full = of("One is here. " + "X" * 30 + ".")
    assert texts(full, **options, limit=31) == ["One is here.", "X" * 30 + "."]


def test_code_repeats_whole_lines():
    two, three = "def two():\n    return 2", "def three():\n    pass"
    code = f"def one():\n    a = 1\n    return a\n\n\n{two}\n\n\n{three}"
    plain = texts(of(code), separators="code", limit=40)
    assert plain == ["def one():\n    a = 1\n    return a", "def two():\n    return 2", plain[2]]
    cut = texts(of(code), separators="code", limit=40, overlap=13)
    assert cut[0] == plain[0]
    assert cut[1] == f"    return a\n\n\n{plain[1]}"
    assert cut[2] == f"    return 2\n\n\n{plain[2]}"


def test_parts_repeat_nothing_across_sections_and_pages():
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
def test_parts_with_overlap_stay_within_the_limit(doc, parts, limit, limit_name, part):
    overlap = part.draw(st.integers(1, limit - 1))
    cut = texts(doc, separators=f"{parts},{limit_name}", limit=limit, overlap=overlap)
    if limit_name == "char_limit":
        assert all(len(text) <= limit for text in cut)
    source = source_of(doc)
    assert all(text in source for text in cut)
    assert set(bare("".join(cut))) == set(bare(source))


@pytest.mark.parametrize("limit", [16, 32])
def test_no_chunk_has_more_tokens_than_the_limit(limit):
    # Without the blanks before them these count a token more.
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
def test_chunks_begin_and_end_with_whole_characters(name, options):
    text = CHARACTERS[name]
    cut = texts(of(text), **options, overlap=20)
    assert len(cut) > 2
    characters = set(regex.findall(r"\X", text))
    assert all(set(regex.findall(r"\X", chunk)) <= characters for chunk in cut)


def test_sections_with_one_heading_stay_apart(tmp_path):
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


def test_an_empty_heading_ends_a_section(tmp_path):
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
    # The limit holds: where it leaves no room, the indentation gives way.
    assert all(len(text) <= 8 for text in texts(doc, separators="char_limit", limit=8))
    assert split_document(doc, separators="paragraph")[1].sourceline == 3


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
def test_scripts_without_spaces_are_cut_at_signs_and_phrases(text, size, expected):
    assert texts(of(text), separators="char_limit", limit=size) == expected


def test_thai_is_cut_at_its_spaces_and_between_words():
    cut = texts(of(THAI), separators="char_limit", limit=50)
    assert cut[0] == "ขนนกมีแกนกลาง กิ่งเล็กๆแตกออกจากแกนทั้งสองข้าง"
    assert all(piece in THAI for piece in cut)
    word = "การศึกษาเกี่ยวกับขนนกแสดงให้เห็นว่าโครงสร้างของมันซับซ้อน"
    cut = texts(of(word), separators="char_limit", limit=20)
    assert "".join(cut) == word
    # no vowel or tone mark is parted from its consonant
    assert not any(unicodedata.category(piece[0]).startswith("M") for piece in cut)
    assert cut[0] == "การศึกษาเกี่ยวกับ"


@pytest.mark.parametrize("limit", [5, 12, 30])
@pytest.mark.parametrize("overlap", [0, 3])
def test_tokens_of_scripts_without_spaces(limit, overlap):
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
def test_nothing_of_a_script_without_spaces_is_lost(text, limit, overlap):
    overlap = min(overlap, limit - 1)
    cut = texts(of(text.strip()), separators="char_limit", limit=limit, overlap=overlap)
    assert all(piece and len(piece) <= limit for piece in cut)
    if not overlap:
        assert bare("".join(cut)) == bare(text)
    offset = 0
    for piece in cut:  # in order, and nothing is left out between them
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
def test_sentences(text, expected):
    assert texts(of(text), separators="sentence") == expected


# -- markdown and code -----------------------------------------------------------------------


def test_markdown_keeps_fences_and_lists_whole():
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


def test_code_is_cut_between_definitions():
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
def test_code_loses_nothing(lines, limit):
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


# -- options of tokens -----------------------------------------------------------------------


def test_encodings_of_tokens():
    doc = of("anticonstitutionnellement " * 10)
    counts = {
        encoding: len(texts(doc, separators="token_limit", limit=8, tiktoken_encoding=encoding))
        for encoding in ("cl100k_base", "o200k_base", "p50k_base", "r50k_base")
    }
    assert counts["o200k_base"] <= counts["cl100k_base"]
    named = texts(doc, separators="token_limit", limit=8, tiktoken_target_model="gpt-4o")
    assert len(named) == counts["o200k_base"]
    with pytest.raises(ConfigurationError, match=r"tiktoken_encoding 'x' is not known.*cl100k"):
        texts(doc, separators="token_limit", limit=8, tiktoken_encoding="x")
    with pytest.raises(ConfigurationError, match="tiktoken_target_model 'x' is not known"):
        texts(doc, separators="token_limit", limit=8, tiktoken_target_model="x")


def test_boxes_are_those_of_the_lines_of_a_chunk():
    first, second = Box(0, 20, 50, 30), Box(0, 5, 60, 15)
    block = Block("One line. Two lines.", page=1, boxes=((0, first), (10, second)))
    other = Block("Next page.", page=2, boxes=((0, Box(1, 2, 3, 4)),))
    doc = DocumentText(None, (block, other))
    sentences = split_document(doc, separators=["."])
    assert [chunk.bounding_box for chunk in sentences] == [first, second, Box(1, 2, 3, 4)]
    (joined,) = split_document(doc, separators=["."], chunk_size=100)
    assert joined.bounding_box == Box(0, 5, 60, 30)
