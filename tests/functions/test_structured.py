"""Structured answers: typed, validated, repaired once; and functions for text tasks."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import importlib.util
import json
import sys
from pathlib import Path
from typing import Literal, TypedDict

import pydantic
import pytest

import barbule as bb
from barbule.errors import ExpressionError, ModelError, SchemaError, UnknownFunctionError
from barbule.functions.language_models import structured_output


class Currency(enum.Enum):
    EURO = "EUR"
    DOLLAR = "USD"


class Item(pydantic.BaseModel):
    name: str
    price: float


class Invoice(pydantic.BaseModel):
    """What a supplier asks for."""

    number: int
    currency: Currency
    status: Literal["open", "paid"]
    items: list[Item]
    note: str | None = None


class Even(pydantic.BaseModel):
    number: int

    @pydantic.field_validator("number")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("it is odd")
        return value


@dataclasses.dataclass
class Place:
    city: str
    people: int


class Span(TypedDict):
    start: str
    length: float


@pytest.fixture
def litellm(models, session):
    return bb.functions.litellm


@pytest.fixture
def docs(litellm):
    table = bb.create_table("docs", {"n": bb.Int, "text": bb.String})
    table.insert([{"n": 0, "text": "two words"}, {"n": 1, "text": "one"}, {"n": 2, "text": None}])
    return table


def extract(litellm, table, schema, model="gpt-4o-mini", **params):
    found = litellm.extract(table.text, schema=schema, model=f"openai/{model}", **params)
    return table.order_by("n").limit(1).select(x=found).collect()["x"][0]


# -- Extraction -----------------------------------------------------------------------------------


def test_extract_is_typed_and_stored(litellm, models, docs):
    facts = litellm.extract(docs.text, schema=Invoice, model="openai/gpt-4o-mini")
    item = bb.Struct({"name": str, "price": float})
    kinds = {"number": int, "currency": str, "status": str, "items": bb.Array(item), "note": str}
    assert facts.type() == bb.Struct(kinds)
    docs.add_computed_column(facts=facts)
    docs.insert(n=3, text="three more words")
    found = docs.filter(docs.facts.number >= 2).order_by("n")
    assert found.select("n", first=found.facts["items"][0].price).collect() == [
        {"n": 0, "first": 0.5},
        {"n": 3, "first": 0.5},
    ]
    assert models.count == 3
    first = docs.order_by("n").collect()[0]["facts"]
    assert (first["currency"], first["status"], first["note"]) == ("EUR", "open", "two words")


def test_schema_is_sent_as_strict(litellm, models, docs):
    extract(litellm, docs, Invoice, instructions="Prices are net.", temperature=0.0)
    (request,) = models.requests
    form = request["response_format"]["json_schema"]
    assert (form["name"], form["strict"]) == ("Invoice", True)
    assert form["schema"]["required"] == ["number", "currency", "status", "items", "note"]
    assert form["schema"]["additionalProperties"] is False
    assert form["schema"]["$defs"]["Item"]["additionalProperties"] is False
    assert form["schema"]["description"] == "What a supplier asks for."
    assert "Prices are net." in request["messages"][0]["content"]
    assert request["messages"][1]["content"] == "two words"
    assert request["temperature"] == 0.0


def test_schema_with_open_objects_is_not_strict(litellm, models, docs):
    class Loose(pydantic.BaseModel):
        scores: dict[str, float]

    assert extract(litellm, docs, Loose) == {"scores": {}}
    assert models.requests[0]["response_format"]["json_schema"]["strict"] is False


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        (Place, {"city": "two words", "people": 2}),
        (Span, {"start": "two words", "length": 0.5}),
        ({"a": str, "b": "int64"}, {"a": "two words", "b": 2}),
        ({"a": bb.Array(bb.Bool), "b": bb.Struct({"c": bb.Float})}, {"a": [True], "b": {"c": 0.5}}),
    ],
    ids=["dataclass", "TypedDict", "mapping", "nested"],
)
def test_extract_accepts_every_kind_of_schema(litellm, docs, schema, answer):
    assert extract(litellm, docs, schema) == answer


def test_extract_accepts_images(litellm, models):
    from PIL import Image

    Image.new("RGB", (2, 2)).save("bill.png")
    table = bb.create_table("bills", {"img": bb.Image})
    table.insert(img="bill.png")
    found = litellm.extract(table.img, schema=Item, model="openai/gpt-4o-mini")
    assert table.select(x=found.price).collect() == [{"x": 0.5}]
    (part,) = models.requests[0]["messages"][1]["content"]
    assert part["type"] == "image_url"


@pytest.mark.parametrize("schema", [str, "Invoice", 3, Item(name="a", price=1.0)])
def test_invalid_schema_is_rejected(litellm, docs, schema):
    with pytest.raises(ExpressionError, match="a schema must be a pydantic model"):
        litellm.extract(docs.text, schema=schema, model="openai/x")


def test_schema_field_without_a_column_type_is_rejected(litellm, docs):
    class Odd(pydantic.BaseModel):
        either: int | str

    with pytest.raises(SchemaError, match="allows several"):
        litellm.extract(docs.text, schema=Odd, model="openai/x")


def test_date_fields_are_validated(monkeypatch):
    form = structured_output.load_schema(structured_output.store_schema({"at": bb.Date}))
    assert form.read('{"at": "2024-02-29"}') == {"at": "2024-02-29"}
    with pytest.raises(ValueError, match="valid date"):
        form.read('{"at": "2023-02-29"}')
    assert form.schema["properties"]["at"]["anyOf"][0]["format"] == "date"
    assert datetime.date.fromisoformat("2024-02-29")


# -- Repair ---------------------------------------------------------------------------------------


def test_invalid_answer_is_repaired_once(litellm, models, docs):
    found = extract(litellm, docs, Item, model="misfit-1")
    assert found["price"] == 0.5
    first, second = (request["messages"] for request in models.requests)
    assert second[:2] == first
    assert second[2] == {"role": "assistant", "content": '{"nonsense": true}'}
    assert "name: Field required; price: Field required" in second[3]["content"]
    (call,) = bb.calls().collect()
    assert call["attempts"] == 1
    assert call["tokens_out"] > 2  # both answers


def test_invalid_answer_after_repair_is_an_error(litellm, models, docs):
    with pytest.raises(
        ModelError, match=r"after one repair.*not a valid Item: name: Field"
    ) as caught:
        extract(litellm, docs, Item, model="misfit")
    assert not caught.value.retryable
    assert models.count == 2
    (call,) = bb.calls().collect()
    assert "after one repair" in call["error"]


def test_class_validators_are_applied(litellm, models, docs):
    assert extract(litellm, docs, Even) == {"number": 2}
    assert models.count == 1
    odd = litellm.extract("one", schema=Even, model="openai/gpt-4o-mini")
    assert docs.limit(1).select(x=odd.number % 2).collect()["x"] == [0]
    assert "number: Value error, it is odd" in models.requests[2]["messages"][3]["content"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("refuses", "it refused: I cannot help with that"),
        ("cut", r"cut off after \d+ characters.*Raise max_tokens"),
        ("policy", "safety system"),
        ("ctx", "maximum context length"),
    ],
)
def test_refusals_and_truncated_answers_are_not_repaired(litellm, models, docs, model, message):
    with pytest.raises(ModelError, match=message) as caught:
        extract(litellm, docs, Item, model=model)
    assert not caught.value.retryable
    assert models.count == 1


def test_fenced_json_is_parsed(litellm, docs):
    assert extract(litellm, docs, Item, model="fenced") == {"name": "two words", "price": 0.5}


def test_model_without_schema_support_gets_the_schema_in_the_prompt(litellm, models, docs):
    assert extract(litellm, docs, Item, model="no-schema") == {"name": "two words", "price": 0.5}
    told, said = models.requests[1]["messages"][0], models.requests[1]["messages"][2]
    assert json.dumps(structured_output.class_schema(Item).schema) in told["content"]
    assert said["content"] == "two words"
    assert "response_format" not in models.requests[1]
    assert models.count == 2
    docs.select(x=litellm.extract(docs.text, schema=Item, model="openai/no-schema")).collect()
    assert models.count == 3, "a schema was sent again"


# -- The class in another process -----------------------------------------------------------------

SHAPE = "import pydantic\n\nclass Shape(pydantic.BaseModel):\n    name: str\n    {}: int\n"


def test_stored_schema_class_is_not_imported(litellm, docs, monkeypatch):
    def write_and_import(field):
        forget()
        Path(f"{field}.py").write_text(SHAPE.format(field))
        spec = importlib.util.spec_from_file_location("shapes", f"{field}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "shapes", module)
        spec.loader.exec_module(module)
        return module.Shape

    def forget():  # as in a new process
        structured_output._CLASSES.clear()
        monkeypatch.delitem(sys.modules, "shapes", raising=False)

    shape = write_and_import("sides")
    docs.add_computed_column(
        shape=litellm.extract(docs.text, schema=shape, model="openai/gpt-4o-mini")
    )
    forget()
    assert docs.order_by("n").collect()[0]["shape"] == {"name": "two words", "sides": 2}
    with pytest.raises(UnknownFunctionError, match=r"'shapes\.Shape' is not defined.*Import the"):
        docs.insert(n=3, text="a b c")
    write_and_import("sides")
    docs.insert(n=3, text="a b c")
    assert docs.filter(docs.n == 3).collect()[0]["shape"] == {"name": "a b c", "sides": 3}
    write_and_import("corners")
    with pytest.raises(UnknownFunctionError, match="has changed since the column was added"):
        docs.insert(n=4, text="d")
    assert docs.count().to_pyarrow().as_py() == 4


def test_local_schema_class_works_in_its_process(litellm, docs):
    def inner():
        class Local(pydantic.BaseModel):
            word: str

        return Local

    assert extract(litellm, docs, inner()) == {"word": "two words"}
    stored = structured_output.store_schema(inner())
    structured_output._CLASSES.clear()
    with pytest.raises(UnknownFunctionError, match="not defined in this process"):
        structured_output.load_schema(stored)


# -- Sentiment, labels, summaries, translations, filters ------------------------------------------


def only(table, value):
    return table.order_by("n").limit(1).select(x=value).collect()["x"][0]


def test_sentiment_returns_label_and_score(litellm, models, docs):
    openai = bb.functions.openai
    mood = openai.analyze_sentiment(docs.text)
    assert mood.type() == bb.Struct({"label": bb.String, "score": bb.Float})
    assert only(docs, mood) == {"label": "positive", "score": 0.5}
    assert only(docs, 0.4 * mood.score) == pytest.approx(0.2)
    assert models.requests[0]["model"] == "gpt-4o-mini"
    assert only(docs, openai.analyze_sentiment(docs.text, model="echo").label) == "positive"


def test_classify_returns_one_of_the_labels(litellm, models, docs):
    openai = bb.functions.openai
    assert only(docs, openai.classify(docs.text, ["bird", "stone"])) == "bird"
    told = models.requests[0]["messages"][0]["content"]
    assert "- bird\n- stone" in told
    meanings = {"bird": "has feathers", "stone": "has none"}
    several = openai.classify(docs.text, meanings, several=True, instructions="Be kind.")
    assert several.type() == bb.Array(bb.String)
    assert only(docs, several) == ["bird"]
    told = models.requests[-1]["messages"][0]["content"]
    assert "- bird: has feathers" in told
    assert told.endswith("Be kind.")


def test_classify_accepts_a_column_of_labels(litellm, models):
    table = bb.create_table("t", {"n": bb.Int, "text": bb.String, "labels": bb.Array(bb.String)})
    table.insert([{"n": 0, "text": "a", "labels": ["x", "y"]}])
    assert only(table, bb.functions.openai.classify(table.text, table.labels)) == "x"


def test_unlisted_label_is_rejected(litellm, docs):
    with pytest.raises(ModelError, match=r"not a valid Choice: answer: Field required"):
        only(docs, bb.functions.openai.classify(docs.text, ["a", "b"], model="misfit"))


@pytest.mark.parametrize("labels", [[], "ab", ["a", "a"], 3])
def test_invalid_labels_are_rejected(litellm, docs, labels):
    with pytest.raises(ExpressionError, match="labels must be a list of distinct strings"):
        bb.functions.openai.classify(docs.text, labels)


def test_summarize_and_translate(litellm, models, docs):
    openai = bb.functions.openai
    assert only(docs, openai.summarize(docs.text, max_words=20)) == "echo: two words"
    assert "at most 20 words" in models.requests[0]["messages"][0]["content"]
    assert only(docs, openai.translate(docs.text, "French", source="English")) == "echo: two words"
    assert "from English to French" in models.requests[1]["messages"][0]["content"]
    assert only(docs, openai.translate(docs.text, to=docs.text).length()) == 15


def test_filter_is_a_boolean_condition(litellm, models, docs):
    wanted = litellm.filter("{text} is long", text=docs.text, model="openai/gpt-4o-mini")
    assert wanted.type().is_boolean()
    assert docs.filter(wanted).count().to_pyarrow().as_py() == 2
    said = sorted(request["messages"][1]["content"] for request in models.requests)
    assert said == ["one is long", "two words is long"]
    assert docs.filter(~wanted).count().to_pyarrow().as_py() == 0
    assert models.count == 2


def test_filter_accepts_positions_numbers_and_images(litellm, models, docs):
    from PIL import Image

    openai = bb.functions.openai
    assert only(docs, openai.filter("{} and {0}", docs.text, temperature=0)) is True
    assert models.requests[0]["messages"][1]["content"] == "two words and two words"
    assert models.requests[0]["temperature"] == 0
    picture = Image.new("RGB", (2, 2))
    assert only(docs, openai.filter("{img} shows {text}.", img=picture, text=docs.text)) is True
    image, text = models.requests[1]["messages"][1]["content"]
    assert (image["type"], text["text"]) == ("image_url", " shows two words.")
    assert only(docs, openai.filter(docs.text)) is True
    assert only(docs, openai.filter("water is wet", model="echo")) is True


@pytest.mark.parametrize(
    ("condition", "values"),
    [("{text} {other}", {"text": "a"}), ("{text", {"text": "a"}), ("no place", {"0": "a"})],
)
def test_filter_validates_its_placeholders(litellm, docs, condition, values):
    given = [values.pop("0")] if "0" in values else []
    with pytest.raises(ExpressionError, match=r"filter: the condition"):
        bb.functions.openai.filter(condition, *given, **values)


@pytest.mark.parametrize("function", ["summarize", "analyze_sentiment"])
def test_faults_are_retried_and_answers_are_cached(litellm, models, docs, function):
    models.script("500", "429", "malformed")
    value = getattr(bb.functions.openai, function)(docs.text)
    assert only(docs, value) is not None
    asked = models.count
    assert asked == 4
    only(docs, value)
    assert models.count == asked
