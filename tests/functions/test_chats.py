"""Chats: message content, tools, structured answers, and the Anthropic format."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image
from pydantic import BaseModel

import barbule as bb
from barbule.errors import BarbuleError, ExpressionError, ModelError, UnsupportedError
from fakes.models_server import _speech

SOUND = _speech({"input": "hello"})


class Bird(BaseModel):
    name: str
    wings: int


@pytest.fixture
def openai(models, session):
    return bb.functions.openai


@pytest.fixture
def anthropic(models, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test-0123456789")
    with Path("barbule.toml").open("a") as file:
        file.write(f'[models.anthropic]\napi_base = "{models.url.removesuffix("/v1")}"\n')
    bb.connect(vectors="exact:")
    return bb.functions.anthropic


def picture(size=(4, 4), form="PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(buffer, form, **options)
    return buffer.getvalue()


def table_of(**cells):
    kinds = {"text": bb.String, "img": bb.Image, "snd": bb.Audio, "doc": bb.Document}
    table = bb.create_table("t", {name: kinds[name] for name in cells})
    table.insert([cells])
    return table


def reply_text(chat):
    return chat.choices[0].message.content


def sent_content(models, number=-1):
    return models.requests[number]["messages"][-1]["content"]


def answer(openai, table, content, **params):
    asked = [{"role": "user", "content": content}]
    chat = openai.chat_completions(asked, model=params.pop("model", "gpt-4o-mini"), **params)
    return table.select(x=reply_text(chat)).collect()["x"]


# -- Media in messages ----------------------------------------------------------------------------


def test_media_keep_their_place_in_a_message(openai, models):
    data = picture()
    table = table_of(text="Hear, see", img=data, snd=SOUND)
    assert answer(openai, table, [table.text, table.img, "and", table.snd]) == [
        "parts: text,image_url,text,input_audio"
    ]
    text, image, word, sound = sent_content(models)
    assert (text["text"], word["text"]) == ("Hear, see", "and")
    assert base64.b64decode(image["image_url"]["url"].partition("base64,")[2]) == data
    assert sound["input_audio"]["format"] == "wav"
    assert base64.b64decode(sound["input_audio"]["data"]) == SOUND


@pytest.mark.parametrize(
    "part",
    [
        lambda img: {"type": "image_url", "image_url": img},
        lambda img: {"type": "image_url", "image_url": {"url": img}},
        lambda img: {"type": "image", "image": img},
        lambda img: {"type": "image", "source": {"data": img}},
        lambda img: img,
    ],
)
def test_image_part_formats_send_the_same_request(openai, models, part):
    table = table_of(img=picture())
    answer(openai, table, [part(table.img)])
    (found,) = sent_content(models)
    assert found["type"] == "image_url"
    assert found["image_url"]["url"].startswith("data:image/png;base64,")


def test_image_detail_is_kept(openai, models):
    table = table_of(img=picture())
    part = {"type": "image_url", "image_url": {"url": table.img, "detail": "low"}}
    answer(openai, table, [part])
    assert sent_content(models)[0]["image_url"]["detail"] == "low"


def test_single_image_and_pil_image_are_sent(openai, models):
    table = table_of(text="x")
    assert answer(openai, table, Image.new("RGB", (2, 2))) == ["parts: image_url"]
    assert answer(openai, table, ["See", Image.new("RGB", (2, 2))]) == ["parts: text,image_url"]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (picture((3000, 100)), "image/png"),
        (picture((3000, 100), "JPEG"), "image/jpeg"),
        (picture((20, 20), "TIFF"), "image/png"),
        (picture((20, 20), "BMP"), "image/png"),
        (picture((2000, 1600), "BMP"), "image/jpeg"),
    ],
    ids=["wide", "wide-jpeg", "tiff", "bmp", "heavy"],
)
def test_images_are_sent_in_an_accepted_size_and_format(openai, models, data, kind):
    table = table_of(img=data)
    answer(openai, table, [table.img])
    head, _, body = sent_content(models)[0]["image_url"]["url"].partition(";base64,")
    assert head == f"data:{kind}"
    image = Image.open(io.BytesIO(base64.b64decode(body)))
    assert max(image.size) <= 2048
    assert len(body) < 5_000_000 * 4 / 3


def test_document_is_sent_as_text_to_models_without_pdf_support(openai, models):
    Path("note.md").write_text("# Feathers\n\nA barbule hooks.")
    table = table_of(doc="note.md")
    for model in ("gpt-4o-mini", "of-mine"):
        answer(openai, table, ["Read", table.doc], model=model)
        assert sent_content(models)[1] == {"type": "text", "text": "Feathers\n\nA barbule hooks."}


def test_pdf_is_sent_to_models_with_pdf_support(openai, models):
    Image.new("RGB", (20, 20)).save("scan.pdf")
    table = table_of(doc="scan.pdf")
    answer(openai, table, [table.doc])
    (part,) = sent_content(models)
    assert part["type"] == "file"
    assert part["file"]["filename"] == "scan.pdf"
    data = base64.b64decode(part["file"]["file_data"].removeprefix("data:application/pdf;base64,"))
    assert data == Path("scan.pdf").read_bytes()


def test_scanned_pdf_is_not_sent_as_empty_text(openai, models):
    Image.new("RGB", (20, 20)).save("scan.pdf")
    table = table_of(doc="scan.pdf")
    with pytest.raises(
        BarbuleError, match=r"row 0: .*scan\.pdf is a scan: .*of-mine does not take PDF files"
    ):
        answer(openai, table, ["Read", table.doc], model="of-mine")
    assert models.count == 0


def test_equal_images_are_sent_once(openai, models):
    table = bb.create_table("t", {"img": bb.Image})
    data = picture()
    Path("a.png").write_bytes(data)
    Path("b.png").write_bytes(data)
    table.insert([{"img": "a.png"}, {"img": "b.png"}])
    assert answer(openai, table, [table.img]) == ["parts: image_url"] * 2
    assert models.count == 1


def test_list_of_media_is_rejected(openai):
    table = bb.create_table("t", {"imgs": bb.Array(bb.Image)})
    with pytest.raises(ExpressionError, match="list of media"):
        openai.chat_completions([{"role": "user", "content": table.imgs}], model="x")


def test_messages_can_be_a_json_column_or_a_string(openai, models):
    table = bb.create_table("t", {"asked": bb.Json})
    table.insert(asked=[{"role": "user", "content": "hello", "name": None}])
    chat = openai.chat_completions(table.asked, model="gpt-4o-mini")
    assert table.select(x=reply_text(chat)).collect()["x"] == ["echo: hello"]
    assert models.requests[0]["messages"] == [{"role": "user", "content": "hello"}]
    plain = openai.chat_completions("hi", model="gpt-4o-mini")
    assert table.select(x=reply_text(plain)).collect()["x"] == ["echo: hi"]


def test_vision_accepts_images_columns_and_urls(openai, models):
    table = table_of(img=picture(), text="https://example.com/a.png")
    for image in (table.img, Image.new("RGB", (2, 2)), "https://example.com/a.png", table.text):
        seen = openai.vision("What is it?", image, model="gpt-4o-mini", max_tokens=5)
        assert table.select(x=seen).collect()["x"] == ["parts: text,image_url"]
    urls = [request["messages"][0]["content"][1]["image_url"]["url"] for request in models.requests]
    assert [url.partition(":")[0] for url in urls] == ["data", "data", "https", "https"]
    assert models.requests[0]["max_tokens"] == 5


# -- Parameters, tools, structured answers --------------------------------------------------------


def test_provider_parameters_are_passed_through(openai, models):
    table = table_of(text="one")
    answer(openai, table, table.text, temperature=0.0, seed=3, stop=["."], min_p=0.1, top_p=None)
    (request,) = models.requests
    assert (request["temperature"], request["seed"], request["stop"]) == (0.0, 3, ["."])
    assert request["min_p"] == 0.1
    assert "top_p" not in request


TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


def test_tool_calls_are_typed(openai, models):
    table = table_of(text="in Rome")
    asked = [{"role": "user", "content": table.text}]
    chat = openai.chat_completions(asked, model="gpt-4o-mini", tools=[TOOL], tool_choice="auto")
    call = chat.choices[0].message.tool_calls[0]
    table.add_computed_column(chat=chat)
    found = table.select(
        name=call.function["name"],
        place=call.function.arguments.text,
        stored=table.chat.choices[0].message.tool_calls[0].function.arguments.text,
        why=chat.choices[0].finish_reason,
    ).collect()
    row = {"name": "weather", "place": "in Rome", "stored": "in Rome", "why": "tool_calls"}
    assert found == [row]
    assert models.requests[0]["tools"] == [TOOL]
    assert models.count == 1


def test_structured_answer_includes_its_text(openai, models):
    table = table_of(text="a wren")
    asked = [{"role": "user", "content": table.text}]
    chat = openai.chat_completions(asked, model="gpt-4o-mini", response_format=Bird)
    message = chat.choices[0].message
    assert message.parsed.type() == bb.Struct({"name": str, "wings": int})
    found = table.select(
        message.parsed["name"], more=message.parsed.wings + 1, reply_text=message.content
    )
    row = {"name": "a wren", "more": 3, "reply_text": '{"name": "a wren", "wings": 2}'}
    assert found.collect() == [row]
    form = models.requests[0]["response_format"]
    assert form["json_schema"]["name"] == "Bird"
    assert form["json_schema"]["strict"] is True
    with pytest.raises(ExpressionError, match="one answer"):
        openai.chat_completions(asked, model="gpt-4o-mini", response_format=Bird, n=2)


def test_plain_response_format_is_passed_through(openai, models):
    table = table_of(text="one")
    form = {"type": "json_object"}
    assert answer(openai, table, table.text, response_format=form) == ['{"echo": "one"}']
    assert models.requests[0]["response_format"] == form


# -- The Anthropic format -------------------------------------------------------------------------


def test_anthropic_messages_are_sent_and_typed(anthropic, models):
    table = table_of(text="one", img=picture())
    chat = anthropic.messages(
        [{"role": "user", "content": ["See", table.img]}],
        model="claude-haiku-4-5",
        max_tokens=50,
        system="Be short.",
    )
    assert table.select(x=chat.content[0].text, n=chat.usage.input_tokens).collect() == [
        {"x": "parts: text,image", "n": 1}
    ]
    (request,) = models.received
    assert request.path == "/v1/messages"
    assert (request.body["max_tokens"], request.body["system"]) == (50, "Be short.")
    source = request.body["messages"][0]["content"][1]["source"]
    assert (source["type"], source["media_type"]) == ("base64", "image/png")


def test_anthropic_messages_return_tool_calls(anthropic, models):
    table = table_of(text="one")
    schema = {"type": "object", "properties": {"place": {"type": "string"}}}
    chat = anthropic.messages(
        [{"role": "user", "content": table.text}],
        model="claude-haiku-4-5",
        tools=[{"name": "weather", "input_schema": schema}],
    )
    part = chat.content[0]
    assert table.select(part["name"], place=part.input.place).collect() == [
        {"name": "weather", "place": "one"}
    ]


def test_audio_is_rejected_by_anthropic_messages(anthropic):
    table = table_of(snd=SOUND)
    chat = anthropic.messages([{"role": "user", "content": [table.snd]}], model="claude-haiku-4-5")
    with pytest.raises(UnsupportedError, match="does not support audio"):
        table.select(x=chat.content[0].text).collect()


def test_anthropic_chats_and_vision(anthropic, models):
    table = table_of(text="one", img=picture())
    assert answer(anthropic, table, table.text, model="claude-haiku-4-5") == ["parts: text"]
    seen = anthropic.vision("What?", table.img, model="claude-haiku-4-5")
    assert table.select(x=seen).collect()["x"] == ["parts: text,image"]


# -- Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "message"),
    [("refuses", "it refused: I cannot help"), ("cut", r"cut off after \d+ characters")],
)
def test_vision_without_an_answer_is_an_error(openai, model, message):
    table = table_of(img=picture())
    with pytest.raises(ModelError, match=message) as caught:
        table.select(x=openai.vision("What?", table.img, model=model)).collect()
    assert not caught.value.retryable


def test_refusal_of_a_chat_is_returned_as_data(openai):
    table = table_of(text="one")
    asked = [{"role": "user", "content": table.text}]
    chat = openai.chat_completions(asked, model="refuses").choices[0]
    assert table.select(chat.message.refusal, why=chat.finish_reason).collect() == [
        {"refusal": "I cannot help with that.", "why": "content_filter"}
    ]


@pytest.mark.parametrize("fates", [("429",), ("500", "malformed"), ("disconnect", "ok")])
def test_transient_errors_are_retried(openai, models, fates):
    table = table_of(text="one")
    models.script(*fates)
    assert answer(openai, table, table.text) == ["echo: one"]
    assert models.count == len([fate for fate in fates if fate != "ok"]) + 1
