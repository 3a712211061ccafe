"""Regular expressions of the package take time proportional to their input.

All of them are collected from the modules. The worst inputs of a pattern are generated from its
syntax tree: the text before a repetition, the repeated text, and an ending that fails the match.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import itertools
import pkgutil
import re
import signal
import time
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import barbule

if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTHS = (16, 64, 256, 1_000, 3_000, 10_000, 30_000, 100_000)
NOTICEABLE = 0.03  # seconds; shorter times give no reliable ratio
GROWTH = 2.0  # times the growth of the length; quadratic time gives about 3.2 times
LIMIT = 1.0  # seconds for one input, then it counts as endless
ENOUGH = 3_000
NOTHING = 1e-4  # seconds for some thousand characters, below which longer inputs are not tried
MOST = 20  # texts before the repetition
ENDS = ("", "\x00", "\n", "x", "!", "<", " ")
METHODS = {"match", "fullmatch", "search", "findall", "finditer", "sub", "subn", "split"}


class Use(NamedTuple):
    """A pattern and the method that the package calls."""

    where: str
    pattern: re.Pattern[Any]
    method: str


def collected() -> list[Use]:
    names = [
        module.name for module in pkgutil.walk_packages(barbule.__path__, f"{barbule.__name__}.")
    ]
    uses = [use for name in names for use in uses_of(importlib.import_module(name))]
    return list({(use.where, use.pattern, use.method): use for use in uses}.values())


def uses_of(module: Any) -> Iterator[Use]:
    source = inspect.getsource(module)
    called: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if node.attr in METHODS:
            called.setdefault(node.value.id, set()).add(node.attr)
    for name, value in vars(module).items():
        for index, pattern in enumerate(patterns_in(value)):
            single = isinstance(value, re.Pattern)
            # The method is unknown for a pattern used by another module or held in a table.
            methods = called.get(name) if single else None
            where = f"{module.__name__}.{name}" + ("" if single else f"[{index}]")
            for method in sorted(methods or {"search"}):
                yield Use(where, pattern, method)
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr in METHODS
            and isinstance(node.args[0], ast.Constant)
        ):
            yield Use(
                f"{module.__name__}:{node.lineno}", re.compile(node.args[0].value), node.func.attr
            )


def patterns_in(value: Any) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from patterns_in(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from patterns_in(each)


class Repetition(NamedTuple):
    """An unbounded repetition: the text before it and the texts it matches."""

    before: str
    bodies: tuple[str, ...]


def repetitions(tree: Any, before: str = "") -> Iterator[Repetition]:
    for code, given in tree:
        for inner in branches(code, given):
            yield from repetitions(inner, before)
        if code in REPEATS and given[1] > 100:
            yield Repetition(before, tuple(samples(given[2])))
        before += next(samples([(code, given)]), "")


REPEATS = {codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT}


def branches(code: Any, given: Any) -> list[Any]:
    if code is codes.BRANCH:
        return list(given[1])
    if code is codes.SUBPATTERN:
        return [given[3]]
    if code in REPEATS:
        return [given[2]]
    if code in {codes.ASSERT, codes.ASSERT_NOT}:
        return [given[1]]
    if code is codes.ATOMIC_GROUP:
        return [given]
    return []


def samples(tree: Any) -> Iterator[str]:
    """Yield some texts that a part of a pattern matches, the shortest first."""
    choices = [tuple(itertools.islice(texts_of(code, given), 4)) for code, given in tree]
    return ("".join(parts) for parts in itertools.islice(itertools.product(*choices), 12))


def texts_of(code: Any, given: Any) -> Iterator[str]:  # noqa: C901 - one case for each code
    if code is codes.LITERAL:
        yield chr(given)
    elif code is codes.NOT_LITERAL:
        yield from (char for char in "a <" if ord(char) != given)
    elif code is codes.ANY:
        yield from "a \n#"
    elif code is codes.IN:
        yield from members(given)
    elif code in REPEATS:
        least, _, inner = given
        one = list(itertools.islice(samples(inner), 4))
        for text in one:
            yield text * least
        if least == 0:
            yield from one
    elif code is codes.AT or code in {codes.ASSERT, codes.ASSERT_NOT, codes.GROUPREF}:
        yield ""
    elif inner := branches(code, given):
        for tree in inner:
            yield from itertools.islice(samples(tree), 4)
    else:
        raise NotImplementedError(f"{code} in a pattern")


CATEGORIES = {
    codes.CATEGORY_DIGIT: "1",
    codes.CATEGORY_NOT_DIGIT: "a ",
    codes.CATEGORY_SPACE: " \n\t",
    codes.CATEGORY_NOT_SPACE: "a-<",
    codes.CATEGORY_WORD: "a1",
    codes.CATEGORY_NOT_WORD: " -",
}
ALPHABET = "a1 \t\n-_.<>'\"=#*|:,;/\\Aé世"


def members(given: Any) -> Iterator[str]:
    if given[0][0] is codes.NEGATE:
        taken = set().union(*(spelled(each) for each in given[1:]))
        yield from (char for char in ALPHABET if char not in taken)
    else:
        for each in given:
            yield from sorted(spelled(each))[:3]


def spelled(item: Any) -> set[str]:
    code, given = item
    if code is codes.LITERAL:
        return {chr(given)}
    if code is codes.RANGE:
        return {chr(given[0]), *(c for c in ALPHABET if given[0] <= ord(c) <= given[1])}
    if given is codes.CATEGORY_NOT_SPACE:
        return {char for char in ALPHABET if not char.isspace()}
    return set(CATEGORIES[given])


def attacks(pattern: re.Pattern[Any]) -> list[tuple[str, str, str]]:
    """Return candidate worst inputs of a pattern: prefix, repeated text, ending."""
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.LOCALE)
    found = list(repetitions(tree))
    bodies = dict.fromkeys(body for _, bodies in found for body in bodies[:4] if body)
    starts = dict.fromkeys(before + body for before, inner in found for body in ("", *inner[:2]))
    pumps = list(bodies) + [a + b for a, b in itertools.pairwise(bodies)]
    pumps += [start for start in starts if start]
    pumps += [text for text in itertools.islice(samples(tree), 3) if text]
    given = itertools.product(list(starts)[:MOST], list(dict.fromkeys(pumps))[: 2 * MOST], ENDS)
    return list(given)


class EndlessError(Exception):
    """A match exceeded the time limit."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    def end(*_: object) -> None:
        raise EndlessError

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def taken(use: Use, text: str) -> float:
    """Return the CPU seconds that a pattern takes for a text."""
    given: Any = text.encode("utf-8") if isinstance(use.pattern.pattern, bytes) else text
    apply = getattr(use.pattern, use.method)
    begun = time.process_time()
    if use.method in {"sub", "subn"}:
        apply(given[:0], given)
    elif use.method == "finditer":
        for _ in apply(given):
            pass
    else:
        apply(given)
    return time.process_time() - begun


def worst(use: Use, attack: tuple[str, str, str]) -> str | None:
    """Return how a pattern fails on an input, or None for linear time."""
    before, pump, end = attack
    known = 0.0
    last = LENGTHS[0]
    for length in LENGTHS:
        text = before + pump * (length // len(pump)) + end
        try:
            with bounded():
                seconds = taken(use, text)
                if seconds > NOTICEABLE and seconds > GROWTH * known * length / last:
                    seconds = min(seconds, *(taken(use, text) for _ in range(4)))
        except EndlessError:
            return f"takes more than {LIMIT} s for {length} characters"
        if seconds > NOTICEABLE and seconds > GROWTH * max(known, 1e-4) * length / last:
            return f"takes {seconds:.3f} s for {length} characters, {known:.3f} s for {last}"
        if length >= ENOUGH and seconds < NOTHING:
            break
        known, last = seconds, length
    return None


@pytest.mark.parametrize("use", collected(), ids=lambda use: f"{use.where}.{use.method}")
def test_pattern_takes_linear_time(use):
    for attack in attacks(use.pattern):
        reason = worst(use, attack)
        assert reason is None, f"{use.pattern.pattern!r} {reason}: {attack}"


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"\s*(?:<!--.*?-->\s*)*<html", "match"),
        (r"[.!?]+\s+", "search"),
        (r"(\d+)x", "search"),
        (r"(a|a)*b", "match"),
    ],
)
def test_backtracking_pattern_is_detected(pattern, method):
    use = Use("a module", re.compile(pattern, re.DOTALL), method)
    assert any(worst(use, attack) for attack in attacks(use.pattern))
