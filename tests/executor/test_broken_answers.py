"""Requests that were sent are charged, however they end; requests that were not sent are not."""

from __future__ import annotations

import asyncio
import socket

import pytest

import barbule as bb
from barbule.errors import ModelError
from barbule.models.base import Endpoint
from barbule.models.litellm.client import LiteLLMClient

TRANSPORT = ["half", "garbage", "gzip", "loop", "reset", "disconnect"]
UNREADABLE = ["html", "plain", "nothing", "empty", "list", "null", "malformed"]
HELLO = [{"role": "user", "content": "hello"}]
CLAUDE = "anthropic/claude-3-5-haiku-latest"
REQUESTS = {
    "chat": lambda client, _: client.chat("openai/gpt-4o-mini", HELLO),
    "claude": lambda client, _: client.chat(CLAUDE, HELLO, max_tokens=5),
    "messages": lambda client, _: client.messages(CLAUDE, HELLO, max_tokens=5),
    "embed": lambda client, _: client.embed("openai/text-embedding-3-small", ["hello"]),
    "image": lambda client, _: client.image("openai/dall-e-3", "hello"),
    "transcribe": lambda client, file: client.transcribe("openai/whisper-1", file),
    "speak": lambda client, _: client.speak("openai/tts-1", "hello", voice="alloy"),
    "moderate": lambda client, _: client.moderate("openai/omni-moderation-latest", "hello"),
    "rerank": lambda client, _: client.rerank("cohere/rerank-v3.5", "hello", ["a", "b"]),
}
# A speech file and a transcript without timestamps have no format to violate.
TAKES_ANY = {"speak", "transcribe"}


@pytest.fixture
def keys(monkeypatch):
    for name in ("OPENAI", "ANTHROPIC", "COHERE"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-test-0123456789")


@pytest.fixture
def sound(tmp_path):
    file = tmp_path / "a.wav"
    file.write_bytes(b"RIFF")
    return file


def client_of(url):
    root = url.removesuffix("/v1")
    bases = {"openai": url, "anthropic": root, "cohere": f"{url}/rerank"}
    return LiteLLMClient({name: Endpoint(name, base, timeout=30) for name, base in bases.items()})


def failure(verb, client, sound):
    with pytest.raises(ModelError) as caught:
        asyncio.run(REQUESTS[verb](client, sound))
    return caught.value


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("fate", TRANSPORT + UNREADABLE)
@pytest.mark.parametrize("verb", REQUESTS)
def test_broken_response_is_charged(models, verb, fate, sound):
    if fate in UNREADABLE and verb in TAKES_ANY:
        return
    models.script(*[fate] * 30)
    error = failure(verb, client_of(models.url), sound)
    assert models.count > 0
    assert (error.charged, error.sent, error.retryable) == (True, True, True)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("verb", REQUESTS)
def test_unreachable_server_is_not_charged(models, verb, sound):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        for url in (refused, "http://nowhere.invalid/v1"):
            error = failure(verb, client_of(url), sound)
            assert (error.charged, error.sent, error.retryable) == (False, False, True)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("fate", ["500", "429", "auth", "policy"])
@pytest.mark.parametrize("verb", ["chat", "messages", "embed", "moderate"])
def test_rejected_request_is_not_charged(models, verb, fate, sound):
    models.script(*[fate] * 30)
    error = failure(verb, client_of(models.url), sound)
    assert (error.charged, error.sent) == (False, True)


@pytest.fixture
def openai(models, session):
    from barbule.functions import openai

    return openai


def chat(openai, column):
    asked = openai.chat_completions(
        model="gpt-4o-mini", messages=[{"role": "user", "content": column}], max_tokens=20
    )
    return asked.choices[0].message.content


def embed(openai, column):
    return openai.embeddings(column, model="text-embedding-3-small", dimensions=8)


def requests(table):
    return bb.calls().filter(bb.calls().table == table).requests.sum().to_pyarrow().as_py()


@pytest.mark.parametrize("asked", [chat, embed], ids=["chat", "embed"])
@pytest.mark.parametrize("fate", ["html", "disconnect", "reset", "half", "gzip", "malformed"])
def test_budget_stops_requests_with_broken_responses(openai, models, asked, fate):
    models.script(*[fate] * 100)
    table = bb.create_table("t", [{"w": f"w{n}"} for n in range(6)])
    with bb.budget(calls=3) as spent:
        result = table.add_computed_column(x=asked(openai, table.w))
    assert models.count == spent.calls == result.calls == 3
    assert result.deferred == 6
    assert requests("t") == 3
    assert spent.tokens > 0


def test_table_budget_counts_broken_connections(openai, models):
    models.script(*["disconnect"] * 100)
    table = bb.create_table("t", [{"w": f"w{n}"} for n in range(6)])
    table.set_budget(calls=4)
    table.add_computed_column(x=chat(openai, table.w))
    assert models.count == 4
    assert table.insert(w="more").deferred == 1
    assert models.count == 4


def test_answer_counts_the_broken_attempts_before_it(openai, models):
    models.script("html", "disconnect")
    table = bb.create_table("t", [{"w": "w"}])
    with bb.budget(calls=5) as spent:
        result = table.add_computed_column(x=chat(openai, table.w))
    assert (result.errors, result.deferred) == (0, 0)
    assert models.count == spent.calls == result.calls == requests("t") == 3


@pytest.mark.parametrize("asked", [chat, embed], ids=["chat", "embed"])
def test_missing_key_counts_no_calls(openai, models, monkeypatch, session, asked):
    session.close()
    endpoint = {"api_base": models.url, "api_key_env": "A_KEY_THAT_IS_NOT_SET"}
    bb.connect(session.settings.backend, vectors="exact:", models={"openai": endpoint})
    table = bb.create_table("t", [{"w": f"w{n}"} for n in range(9)])
    with bb.budget(calls=3) as spent:
        result = table.add_computed_column(x=asked(openai, table.w))
    assert (result.calls, result.errors, result.deferred, spent.calls) == (0, 9, 0, 0)
    assert models.count == 0


def test_missing_default_key_counts_no_calls(openai, monkeypatch, session):
    session.close()
    monkeypatch.delenv("OPENAI_API_KEY")
    bb.connect(session.settings.backend, vectors="exact:", models={"openai": {}})
    table = bb.create_table("t", [{"w": f"w{n}"} for n in range(3)])
    result = table.add_computed_column(x=chat(openai, table.w))
    assert (result.calls, result.errors) == (0, 3)
