"""Tools: schemas sent to models, and execution of tool calls."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import json
import re
from pathlib import Path
from typing import Literal

import pydantic
import pytest

import barbule as bb
from barbule.errors import ExpressionError
from barbule.functions.parameters.docstrings import parse_docstring


class Unit(enum.Enum):
    CELSIUS = "C"
    KELVIN = "K"


class Place(pydantic.BaseModel):
    town: str
    country: str = "Italy"


@dataclasses.dataclass
class Span:
    start: int
    end: int


@bb.udf
def weather(place: str, days: int = 1, unit: Unit = Unit.CELSIUS) -> str:
    """Tell the weather of the next days.

    It knows towns only.

    Parameters
    ----------
    place : str
        A town,
        any town.
    days, unit
        How far, and in what.

    Returns
    -------
    str
        What it is going to be.
    """
    return f"{days} sunny days in {place}, {unit.name}"


@bb.udf
async def distance(start: Place, stop: Place, by: Literal["road", "air"] = "road") -> float:
    """Measure how far it is.

    Args:
        start (Place): Where
            one begins.
        stop: Where one ends.
    """
    await asyncio.sleep(0)
    return float(len(start.town) + len(stop.town) + (by == "air"))


def schema(function, **options):
    return bb.tools(bb.tool(function, **options))[0]["function"]


# -- Schemas ---------------------------------------------------------------------------------------


def test_signature_and_docstring_become_a_schema():
    assert schema(weather) == {
        "name": "weather",
        "description": "Tell the weather of the next days.\n\nIt knows towns only.",
        "parameters": {
            "additionalProperties": False,
            "type": "object",
            "required": ["place"],
            "properties": {
                "place": {"type": "string", "description": "A town, any town."},
                "days": {
                    "type": "integer",
                    "default": 1,
                    "description": "How far, and in what.",
                },
                "unit": {
                    "$ref": "#/$defs/Unit",
                    "default": "C",
                    "description": "How far, and in what.",
                },
            },
            "$defs": {"Unit": {"type": "string", "enum": ["C", "K"]}},
        },
    }
    told = schema(distance)["parameters"]
    assert told["properties"]["start"]["description"] == "Where one begins."
    assert told["properties"]["by"]["enum"] == ["road", "air"]
    assert told["$defs"]["Place"]["required"] == ["town"]
    assert told["required"] == ["start", "stop"]


def test_barbule_types_and_batch_parameters_become_json_types():
    @bb.udf(batch_size=4)
    def sizes(texts: list[str], more: bb.Array(bb.Int), any_: bb.Json, at: bb.Float) -> list[int]:
        return [len(text) for text in texts]

    told = schema(sizes)["parameters"]["properties"]
    assert told["texts"] == {"type": "string"}
    assert told["more"] == {"type": "array", "items": {"type": "integer"}}
    assert told["any_"] == {}
    assert told["at"] == {"type": "number"}


def test_tool_name_description_and_fixed_arguments():
    told = schema(weather.using(unit="K"), name="forecast", description="Look ahead.")
    assert (told["name"], told["description"]) == ("forecast", "Look ahead.")
    assert set(told["parameters"]["properties"]) == {"place", "days"}

    def plain(text: str) -> str:
        """Say it."""
        return text

    made = bb.tools(plain, weather)
    assert [each["function"]["name"] for each in made] == ["plain", "weather"]
    assert repr(made) == "<tools plain, weather>"


NUMPY = """A.

Parameters
----------
x
    One.

    More.
y : int, optional

Notes
-----
z
    No.
"""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, ("", {})),
        ("Do it.", ("Do it.", {})),
        (
            "Do it.\n\n:param str x: The x\n    of it.\n:return: y",
            ("Do it.", {"x": "The x of it."}),
        ),
        ("Args:\n  x: One.\n  *rest: Two.\nReturns:\n  z: 3", ("", {"x": "One.", "rest": "Two."})),
        (NUMPY, ("A.", {"x": "One. More.", "y": ""})),
    ],
)
def test_docstring_formats_are_parsed(text, wanted):
    assert parse_docstring(text) == wanted


def test_invalid_tools_are_rejected():
    @bb.udf
    def look(image: bb.Image) -> str: ...

    @bb.udf
    def many(*texts: str) -> str: ...

    with pytest.raises(ExpressionError, match="'image' takes image, which no model returns"):
        bb.tools(look)
    with pytest.raises(ExpressionError, match="'texts' takes any number of arguments"):
        bb.tools(many)
    with pytest.raises(ExpressionError, match="a tool must be one of your own"):
        bb.tools(bb.functions.openai.chat_completions)
    with pytest.raises(ExpressionError, match="two tools have the same name"):
        bb.tools(weather, weather)
    with pytest.raises(ExpressionError, match="no tool was passed"):
        bb.tools()
    with pytest.raises(ExpressionError, match="this is not a valid name for a tool"):
        bb.tools(lambda text: text)
    with pytest.raises(ExpressionError, match="only one choice is possible"):
        bb.tools(weather).choice()
    with pytest.raises(ExpressionError, match=r"not one of these tools.*The tools are weather"):
        bb.tools(weather).choice(tool="other")
    with pytest.raises(ExpressionError, match="the first argument must be the tools"):
        bb.invoke_tools(weather, None)


# -- Tool calls ------------------------------------------------------------------------------------


@pytest.fixture
def openai(models, session):
    return bb.functions.openai


def asking(*calls):
    table = bb.create_table("asks", {"n": bb.Int, "text": bb.String}, if_exists="ignore")
    table.insert([{"n": n, "text": json.dumps(each)} for n, each in enumerate(calls)])
    return table


def chat(openai, table, tools, **options):
    asked = [{"role": "user", "content": table.text}]
    return openai.chat_completions(asked, model="caller", tools=tools, **options)


def test_tool_calls_are_executed(openai, models):
    table = asking(
        [["weather", {"place": "Rome"}], ["weather", {"place": "Pisa", "days": 2, "unit": "K"}]],
        [["distance", {"start": {"town": "Rome"}, "stop": {"town": "Pisa"}, "by": "air"}]],
        [],
    )
    tools = bb.tools(weather, distance)
    table.add_computed_column(
        answer=chat(openai, table, tools, tool_choice=tools.choice(required=True))
    )
    table.add_computed_column(found=openai.invoke_tools(tools, table.answer))
    told = ["1 sunny days in Rome, CELSIUS", "2 sunny days in Pisa, KELVIN"]
    assert table.order_by("n").collect()["found"] == [
        {"weather": told, "distance": None},
        {"weather": None, "distance": [9.0]},
        {"weather": None, "distance": None},
    ]
    assert models.requests[0]["tools"] == list(tools)
    assert models.requests[0]["tool_choice"] == "required"
    # The results are JSON and can be used in expressions.
    first = table.found.weather[0].upper()
    assert table.filter(table.n == 0).select(x=first).collect()["x"] == [
        "1 SUNNY DAYS IN ROME, CELSIUS"
    ]
    assert table.stale() == []


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([["rain", {}]], r"called the tool 'rain', which was not passed to it.*weather, distance"),
        (
            [["weather", {}]],
            r"arguments for the tool 'weather' do not match its parameters: place: Field required",
        ),
        (
            [["weather", {"place": "Rome", "days": "many"}]],
            r"days: Input should be a valid integer",
        ),
        ([["weather", {"place": "Rome", "night": 1}]], r"night: Extra inputs are not permitted"),
        ([["weather", {"place": "Rome", "unit": "F"}]], r"unit: Input should be 'C' or 'K'"),
        (
            [["weather", "{not JSON"]],
            r"arguments for the tool 'weather' (are not valid JSON|do not fit)",
        ),
        ([["weather", [1]]], r"'weather' do not match its parameters"),
    ],
)
def test_invalid_tool_call_is_a_cell_error(openai, calls, message):
    table = asking(calls, [["weather", {"place": "Rome"}]])
    tools = bb.tools(weather, distance)
    table.add_computed_column(answer=chat(openai, table, tools))
    done = table.add_computed_column(found=bb.invoke_tools(tools, table.answer))
    assert done.errors == 1
    bad, good = table.order_by("n").select("found", why=table.found.error.message).collect()
    assert bad["found"] is None
    assert re.search(message, bad["why"])
    assert good["found"]["weather"] == ["1 sunny days in Rome, CELSIUS"]


def test_no_tool_runs_unless_every_call_is_valid(openai):
    called = []

    @bb.udf
    def note(text: str) -> str:
        called.append(text)
        if text == "bad":
            raise RuntimeError("no such note")
        return text

    table = asking([["note", {"text": "a"}], ["note", {}]], [["note", {"text": "bad"}]])
    tools = bb.tools(note)
    table.add_computed_column(answer=chat(openai, table, tools))
    table.add_computed_column(found=bb.invoke_tools(tools, table.answer))
    assert called == ["bad"]
    why = table.order_by("n").select(x=table.found.error.message).collect()["x"]
    assert "note" in why[1]
    assert "the tool 'note' failed: RuntimeError: no such note" in why[1]


def test_queries_batch_functions_and_classes_are_tools(openai):
    films = bb.create_table("films", [{"name": "Up", "year": 2009}, {"name": "Soul", "year": 2020}])

    @bb.query
    def since(year: int):
        return films.where(films.year >= year).order_by("year").select("name")

    @bb.udf(batch_size=8)
    def sizes(texts: list[str], plus: int = 0) -> list[int]:
        return [len(text) + plus for text in texts]

    @bb.udf
    class Say:
        def __init__(self, end: str):
            self.end = end

        def __call__(self, text: str) -> Span:
            """Say it."""
            return Span(len(text), len(text + self.end))

    tools = bb.tools(since, sizes, bb.tool(Say("!"), name="say"))
    table = asking(
        [["since", {"year": 2010}], ["sizes", {"texts": "abc", "plus": 1}], ["say", {"text": "a"}]]
    )
    table.add_computed_column(answer=chat(openai, table, tools))
    table.add_computed_column(found=bb.invoke_tools(tools, table.answer))
    assert table.collect()["found"] == [
        {"since": [[{"name": "Soul"}]], "sizes": [4], "say": [{"start": 1, "end": 2}]}
    ]


def test_tool_results_are_json(openai):
    @bb.udf(return_type=bb.Json)
    def odd(kind: str):
        return {"day": datetime.date(2026, 1, 2), "nan": float("nan"), "object": object()}[kind]

    table = asking(*[[["odd", {"kind": kind}]] for kind in ("day", "nan", "object")])
    tools = bb.tools(odd)
    table.add_computed_column(answer=chat(openai, table, tools))
    table.add_computed_column(found=bb.invoke_tools(tools, table.answer))
    rows = table.order_by("n").select("found", why=table.found.error.message).collect()
    assert [row["found"] for row in rows[:2]] == [{"odd": ["2026-01-02"]}, {"odd": [None]}]
    assert "cannot be written as JSON" in rows[2]["why"]


def test_changed_tool_makes_its_column_stale(openai):
    def define(text):
        scope: dict = {}
        exec(f"def say() -> str:\n    return {text!r}", scope)
        return bb.tools(bb.udf(scope["say"], name="mine.say"))

    table = asking([["say", {}]])
    tools = define("one")
    table.add_computed_column(answer=chat(openai, table, tools))
    table.add_computed_column(found=bb.invoke_tools(tools, table.answer))
    assert len(table.stale()) == 0
    define("two")
    assert table.stale()["column"] == ["found"]
    table.recompute(where="stale")
    assert table.collect()["found"] == [{"say": ["two"]}]
    assert len(table.stale()) == 0


def test_anthropic_tool_format(models, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test-0123456789")
    with Path("barbule.toml").open("a") as file:
        file.write(f'[models.anthropic]\napi_base = "{models.url.removesuffix("/v1")}"\n')
    bb.connect(vectors="exact:")
    table = bb.create_table("t", [{"text": "Rome"}])
    tools = bb.tools(weather)
    for choice, wanted in (
        (tools.choice(auto=True), {"type": "auto"}),
        (tools.choice(required=True), {"type": "any"}),
        (tools.choice(tool="weather"), {"type": "tool", "name": "weather"}),
    ):
        answer = bb.functions.anthropic.messages(
            [{"role": "user", "content": table.text}],
            model="claude-haiku-4-5",
            tools=tools,
            tool_choice=choice,
        )
        found = table.select(x=bb.invoke_tools(tools, answer)).collect()["x"]
        assert found == [{"weather": ["1 sunny days in Rome, CELSIUS"]}]
        request = models.requests[-1]
        assert request["tool_choice"] == wanted
        assert request["tools"][0]["input_schema"]["required"] == ["place"]


PLACE = {"place": "Rome"}
ASKED_AS_TEXT = {"name": "weather", "arguments": '{"place": "Rome"}'}
ASKED_BY_GEMINI = {"name": "weather", "args": PLACE}


@pytest.mark.parametrize(
    "response",
    [
        {"choices": [{"message": {"tool_calls": [{"function": ASKED_AS_TEXT}]}}]},
        {"content": [{"type": "text"}, {"type": "tool_use", "name": "weather", "input": PLACE}]},
        {"candidates": [{"content": {"parts": [{"functionCall": ASKED_BY_GEMINI}]}}]},
        [{"function": {"name": "weather", "arguments": PLACE}}],
    ],
    ids=["openai", "anthropic", "gemini", "calls"],
)
def test_tool_calls_are_read_from_json_answers(session, response):
    table = bb.create_table("t", {"said": bb.Json})
    table.insert([{"said": response}, {"said": None}])
    found = table.select(x=bb.invoke_tools(bb.tools(weather), table.said)).collect()["x"]
    assert found == [{"weather": ["1 sunny days in Rome, CELSIUS"]}, None]
