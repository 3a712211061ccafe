"""The LiteLLM client against a model server, over real HTTP."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
import traceback

import pytest

from barbule.errors import ConfigurationError, ModelError
from barbule.models.base import Endpoint, Reply, Usage
from barbule.models.litellm.client import LiteLLMClient
from barbule.models.litellm.provider_errors import model_error
from barbule.models.providers import qualified
from barbule.models.rate_limits import Gate, call_with_retries
from fakes.models_server import FakeModels, embedding_of
from servers.dripping import HEADERS, dripping

KEY = "sk-a-very-secret-key-0123456789"
HELLO = [{"role": "user", "content": "hello there"}]


@pytest.fixture
def server():
    with FakeModels() as running:
        yield running


@pytest.fixture(autouse=True)
def key(monkeypatch):
    """Set a test key and remove the developer's key."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("BARBULE_TEST_KEY", KEY)
    return KEY


def client_of(server: FakeModels, **settings) -> LiteLLMClient:
    settings = {"api_key_env": "BARBULE_TEST_KEY", "timeout": 30.0, **settings}
    return LiteLLMClient({"openai": Endpoint("openai", api_base=server.url, **settings)})


def chat(client: LiteLLMClient, model: str = "openai/echo", messages=HELLO, **params) -> Reply:
    return asyncio.run(client.chat(model, messages, **params))


def embed(client: LiteLLMClient, inputs, model: str = "openai/echo", **params) -> Reply:
    return asyncio.run(client.embed(model, inputs, **params))


# -- Names and settings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-4o-mini", "openai/gpt-4o-mini"),
        ("openai", "openai/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("openrouter", "openai/gpt-4o", "openrouter/openai/gpt-4o"),
        ("openai", "meta-llama/Llama-3", "openai/meta-llama/Llama-3"),
    ],
)
def test_model_name_is_qualified(provider, model, expected):
    assert qualified(provider, model) == expected


def test_endpoint_is_found_by_the_exact_prefix():
    mine = Endpoint("openai", api_base="http://localhost:1/v1", max_concurrency=3)
    client = LiteLLMClient({"openai": mine})
    assert client.endpoint("openai/gpt-4o-mini") is mine
    assert client.endpoint("openai_like/x") == Endpoint("openai_like")
    other = client.endpoint("anthropic/claude")
    assert (other.max_concurrency, other.timeout, other.api_base) == (64, 600.0, None)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "", "/x", "openai/"])
def test_model_without_a_provider_is_rejected(model):
    with pytest.raises(ConfigurationError, match=r"has no provider prefix.*for example 'openai/"):
        LiteLLMClient().endpoint(model)


def test_models_package_does_not_import_litellm():
    code = textwrap.dedent("""
        import sys
        import barbule.models, barbule.models.base, barbule.models.litellm.client
        import barbule.models.rate_limits, barbule.models.litellm.provider_errors
        heavy = {"litellm", "openai", "httpx", "pydantic", "ibis", "aiohttp"} & set(sys.modules)
        assert not heavy, heavy
    """)
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


# -- Answers -------------------------------------------------------------------------------------


def test_chat_reply_has_the_documented_shape(server):
    reply = chat(client_of(server))
    identity = reply.value.pop("id")
    assert identity.startswith("chatcmpl-")
    assert reply.value == {
        "model": "echo",
        "created": 1_700_000_000,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {
                    "role": "assistant",
                    "content": "echo: hello there",
                    "refusal": None,
                    "tool_calls": None,
                    "reasoning_content": None,
                },
            }
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
    }
    assert reply.usage == Usage(2, 3, None)
    assert reply.headers["x-ratelimit-remaining-requests"] == "5999"
    assert reply.headers["content-type"] == "application/json"


def test_cost_is_known_for_known_models_only(server):
    client = client_of(server)
    assert chat(client, "openai/gpt-4o-mini").usage.usd == pytest.approx(2 * 15e-8 + 3 * 60e-8)
    assert chat(client, "openai/echo").usage.usd is None
    assert embed(client, ["a b"], "openai/text-embedding-3-small").usage.usd == pytest.approx(4e-8)
    assert embed(client, ["a b"]).usage == Usage(2, 0, None)


def test_tool_calls_are_typed(server):
    tool = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
    reply = chat(client_of(server), tools=[{"type": "function", "function": tool}])
    message = reply.value["choices"][0]["message"]
    assert message["content"] is None
    function = {"name": "weather", "arguments": {"text": "hello there"}}
    assert message["tool_calls"] == [{"id": "call_1", "type": "function", "function": function}]


def test_refusal_is_returned(server):
    message = chat(client_of(server), "openai/refuses").value["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "I cannot help with that.")


def test_reasoning_is_kept(server):
    reply = chat(client_of(server), "openai/reasoning")
    message = reply.value["choices"][0]["message"]
    assert message["reasoning_content"] == "thinking about: hello there"
    assert message["content"] == "echo: hello there"


def test_vision_messages_are_sent_unchanged(server):
    parts = [
        {"type": "text", "text": "Describe the image"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
    messages = [{"role": "user", "content": parts}]
    reply = chat(client_of(server), messages=messages)
    assert reply.value["choices"][0]["message"]["content"] == "parts: text,image_url"
    assert server.requests[0]["messages"] == messages


def test_parameters_are_sent_to_the_server(server):
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    reply = chat(
        client_of(server), temperature=0.2, max_tokens=7, seed=3, response_format=form, min_p=0.1
    )
    (body,) = server.requests
    assert body["model"] == "echo"
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.2, 7, 3)
    assert body["response_format"] == form
    assert body["min_p"] == 0.1  # not an OpenAI parameter, passed to the server
    content = reply.value["choices"][0]["message"]["content"]
    assert json.loads(content) == {"name": "hello there"}


def test_embeddings_are_floats_in_input_order(server):
    texts = ["one", "two words", "three"]
    reply = embed(client_of(server), texts, "openai/shuffled")
    assert reply.value == [pytest.approx(embedding_of(text)) for text in texts]
    assert all(type(x) is float for vector in reply.value for x in vector)
    assert reply.usage.tokens_in == 4
    assert server.requests[0]["input"] == texts


@pytest.mark.parametrize("model", ["openai/text-embedding-3-small", "openai/of-a-local-server"])
def test_dimensions_are_sent_to_the_server(server, model):
    reply = embed(client_of(server), ["a"], model, dimensions=5)
    assert [len(vector) for vector in reply.value] == [5]
    assert "allowed_openai_params" not in server.requests[0]


def test_embedding_of_no_texts_sends_no_request(server):
    assert embed(client_of(server), []) == Reply([], Usage(0, 0, 0.0))
    assert server.count == 0


# -- Keys ----------------------------------------------------------------------------------------


def sent_keys(server: FakeModels) -> list[str]:
    return [request.headers["authorization"] for request in server.received]


def test_key_is_read_from_its_variable_at_each_call(server, monkeypatch):
    client = client_of(server)
    chat(client)
    monkeypatch.setenv("BARBULE_TEST_KEY", "another-key")
    chat(client)
    assert sent_keys(server) == [f"Bearer {KEY}", "Bearer another-key"]


@pytest.mark.parametrize("value", [None, ""])
def test_unset_key_variable_is_named(server, monkeypatch, value):
    monkeypatch.delenv("BARBULE_TEST_KEY")
    if value is not None:
        monkeypatch.setenv("BARBULE_TEST_KEY", value)
    with pytest.raises(ConfigurationError, match=r"'BARBULE_TEST_KEY', which \[models.openai\]"):
        chat(client_of(server))
    assert server.count == 0


def test_local_server_needs_no_key(server, monkeypatch):
    client = client_of(server, api_key_env=None)
    chat(client)
    embed(client, ["a"])
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    chat(client)
    assert sent_keys(server) == ["Bearer not-needed", "Bearer not-needed", f"Bearer {KEY}"]


def test_missing_key_error_names_the_default_variable():
    with pytest.raises(ModelError, match="Set the environment variable OPENAI_API_KEY") as caught:
        chat(LiteLLMClient())
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("api_key", r"api_key_env in \[models.openai\]"),
        ("api_base", r"Set api_base in \[models.openai\]"),
        ("stream", "remove it"),
        ("num_retries", "number of retries"),
    ],
)
def test_reserved_parameters_are_rejected(server, name, hint):
    with pytest.raises(ConfigurationError, match=f"'{name}' cannot be passed.*{hint}"):
        chat(client_of(server), **{name: True})
    assert server.count == 0


# -- Failures ------------------------------------------------------------------------------------

FAILURES = [
    # model, retryable, retry_after, message, hint
    ("rate-limited", True, 0.05, "Rate limit reached for requests", "lower max_concurrency"),
    ("quota", False, None, "exceeded your current quota", "billing"),
    ("err500", True, None, "boom", "provider's side"),
    ("auth", False, None, "Incorrect API key provided", "Set .*BARBULE_TEST_KEY"),
    ("ctx", False, None, "maximum context length is 10 tokens", "Shorten the prompt"),
    ("policy", False, None, "safety system", "Change the prompt"),
    ("missing", False, None, "'missing' does not exist", "Check the model's name"),
    ("malformed", True, None, "the answer is not JSON", "speaks the provider's protocol"),
    ("disconnect", True, None, "the connection failed", "Start the server at http"),
]


@pytest.mark.parametrize("verb", [chat, embed])
@pytest.mark.parametrize(("model", "retryable", "retry_after", "message", "hint"), FAILURES)
def test_failures_report_message_hint_and_retryability(
    server, verb, model, retryable, retry_after, message, hint
):
    arguments = {"inputs": ["hello"]} if verb is embed else {}
    with pytest.raises(ModelError, match=f"(?s){message}.*{hint}") as caught:
        verb(client_of(server), model=f"openai/{model}", **arguments)
    error = caught.value
    assert (error.retryable, error.retry_after) == (retryable, retry_after)
    assert error.message.startswith(f"model 'openai/{model}' at {server.url}: ")
    assert "litellm" not in str(error).lower()
    assert "OpenAIException" not in str(error)
    assert server.count == 1, "the client retried by itself"
    text = f"{error!s} {error!r} {''.join(traceback.format_exception(error))}"
    assert KEY not in text
    assert error.__cause__ is None
    assert error.__context__ is None


def test_key_is_neither_printed_nor_logged(server, capfd, caplog):
    for model in ("auth", "err500", "malformed"):
        with pytest.raises(ModelError, match=f"openai/{model}"):
            chat(client_of(server), f"openai/{model}")
    printed = capfd.readouterr()
    assert KEY not in printed.out + printed.err + caplog.text
    assert "litellm" not in printed.out.lower()


def test_missing_answer_is_a_retryable_failure(server):
    with pytest.raises(ModelError, match=r"no answer within 0\.2 s.*Raise timeout") as caught:
        chat(client_of(server, timeout=0.2), "openai/slow")
    assert caught.value.retryable


@pytest.mark.parametrize("head", [HEADERS, b"HTTP/1.1 200 OK\r\n"])
@pytest.mark.parametrize("verb", ["chat", "embed", "messages"])
def test_slow_answer_has_one_time_limit(head, verb):
    requests = {
        "chat": ("openai/x", [{"role": "user", "content": "hi"}], {}),
        "messages": ("anthropic/x", [{"role": "user", "content": "hi"}], {"max_tokens": 9}),
        "embed": ("openai/x", ["hi"], {}),
    }
    model, question, more = requests[verb]
    with dripping(head, b" " if head == HEADERS else b"x: y\r\n") as url:
        provider = model.partition("/")[0]
        settings = {"api_key_env": "BARBULE_TEST_KEY", "timeout": 1.0}
        client = LiteLLMClient({provider: Endpoint(provider, url, **settings)})
        asyncio.run(client.ready())
        started = time.monotonic()
        with pytest.raises(ModelError, match=r"no answer within 1\.0 s.*Raise timeout") as caught:
            asyncio.run(getattr(client, verb)(model, question, **more))
        assert time.monotonic() - started < 10
    assert caught.value.retryable
    assert caught.value.charged


def test_refused_connection_names_address_and_remedy():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening, so connections are refused
        base = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        client = LiteLLMClient({"openai": Endpoint("openai", api_base=base)})
        with pytest.raises(
            ModelError, match=r"the connection failed.*Start the server at"
        ) as caught:
            chat(client)
    assert caught.value.retryable
    assert str(caught.value).count(base) == 2


def test_unknown_provider_is_not_retryable():
    with pytest.raises(
        ModelError, match=r"'nobody/x'.*with a prefix that LiteLLM supports"
    ) as caught:
        chat(LiteLLMClient(), "nobody/x")
    assert not caught.value.retryable


def test_invalid_call_is_not_retryable(server):
    with pytest.raises(ModelError, match="Correct the model, the messages") as caught:
        chat(client_of(server), messages="not a list of messages")
    assert not caught.value.retryable
    assert server.count == 0


def test_missing_package_is_named():
    error = model_error(
        ModuleNotFoundError("No module named 'boto3'"), "bedrock/x", Endpoint("x"), timeout=1
    )
    assert not error.retryable
    assert "'boto3'. Install the package" in str(error)


def test_unsupported_parameter_is_an_error():
    client = LiteLLMClient({"anthropic": Endpoint("anthropic", api_key_env="BARBULE_TEST_KEY")})
    with pytest.raises(ModelError, match=r"logit_bias.*allowed_openai_params") as caught:
        chat(client, "anthropic/claude-sonnet-4-5", logit_bias={"1": 1})
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "spoken",
    [
        f"bad key {KEY}",
        "bad key sk-somebody-elses-0123",
        "bad key AIzaSyA0123456789abcdef",
        "header Authorization: Bearer abc.def.ghi0123",
        "POST https://host/v1?key=abc.def.ghi0123&x=1",
        "POST https://user:abc.def.ghi0123@host/v1",
        "{'api_key': 'abc.def.ghi0123'}",
        "the other is another-secret-4711",
    ],
)
def test_error_message_contains_no_secret(monkeypatch, spoken):
    monkeypatch.setenv("SOME_OTHER_TOKEN", "another-secret-4711")
    endpoint = Endpoint("openai", api_base="http://user:abc.def.ghi0123@host/v1")
    error = model_error(RuntimeError(spoken), "openai/x", endpoint, key=KEY, timeout=1)
    text = f"{error!s}{error!r}"
    assert "***" in error.message.split("/v1: ", 1)[1]
    secrets = [KEY, "somebody-elses", "AIzaSy", "abc.def", "another-secret"]
    assert not [secret for secret in secrets if secret in text]


PLAIN_KEY = "9f8e7d6c5b4a-9281/06f5e4d3c2b1a0"  # matches no known key pattern


@pytest.mark.parametrize("padding", [0, 300, 460, 480, 490, 498, 19_980])
@pytest.mark.parametrize(
    "written",
    [
        PLAIN_KEY,
        PLAIN_KEY.upper(),
        " ".join(PLAIN_KEY),
        "\n".join(PLAIN_KEY),
        "\\n".join(PLAIN_KEY[at : at + 8] for at in range(0, len(PLAIN_KEY), 8)),
        PLAIN_KEY.replace("-", "%2D").replace("/", "%2f"),
        PLAIN_KEY.replace("-", "%252D"),
        PLAIN_KEY.replace("/", "\\/").replace("-", "\\u002d"),
        f"api_key: {PLAIN_KEY[:16]} {PLAIN_KEY[16:]}",
    ],
)
def test_key_is_redacted_in_every_spelling_and_before_truncation(padding, written):
    for spoken in ("p" * padding + written, " " * padding + written):
        error = model_error(
            RuntimeError(spoken), "openai/x", Endpoint("openai"), key=PLAIN_KEY, timeout=1
        )
        text = "".join(re.sub(r"\\u002d|%2\w|%252D", "", str(error).lower()).split())
        assert PLAIN_KEY[:4] not in text
        assert PLAIN_KEY[-4:] not in text
        assert len(error.message) < 600


def test_redaction_takes_linear_time(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "a+a+a+a+a+a+a+b")
    started = time.monotonic()
    for spoken in ("a+" * 10**6, "%25" * 10**6, "\\" * 10**6, "sk-" * 10**6, "a " * 10**6):
        error = model_error(RuntimeError(spoken), "openai/x", Endpoint("openai"), timeout=1)
        assert len(error.message) < 600
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("headers", "spoken", "seconds"),
    [
        ({"retry-after": "7"}, "", 7.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, "", 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, "", 0.0),
        ({"retry-after": "soon"}, "", 0.0),
        ({}, "", 0.0),
        ({}, "Please try again in 350ms.", 0.35),
        ({}, "Please retry after 10 seconds.", 10.0),
        ({}, '"retryDelay": "34s"', 34.0),
    ],
)
def test_retry_delay_is_read_from_headers_or_message(headers, spoken, seconds):
    class RateLimitError(Exception):
        litellm_response_headers = headers

    error = model_error(RateLimitError(f"limit. {spoken}"), "x/y", Endpoint("x"), timeout=1)
    assert error.retryable
    assert error.retry_after == pytest.approx(seconds)


# -- Concurrency ---------------------------------------------------------------------------------


def test_calls_run_concurrently(server):
    server.latency = 0.1
    client = client_of(server)

    async def main():
        calls = [
            client.chat("openai/echo", [{"role": "user", "content": str(i)}]) for i in range(50)
        ]
        return await asyncio.gather(*calls)

    replies = asyncio.run(main())
    contents = [reply.value["choices"][0]["message"]["content"] for reply in replies]
    assert contents == [f"echo: {i}" for i in range(50)]
    assert server.max_in_flight > 1


def test_client_serves_several_event_loops(server):
    client = client_of(server)
    server.latency = 0.02
    failures: list[BaseException] = []

    async def several():
        await asyncio.gather(*(client.chat("openai/echo", HELLO) for _ in range(5)))

    def work():
        try:
            for _ in range(3):
                asyncio.run(several())
        except BaseException as error:  # noqa: BLE001  # passed to the test thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert server.count == 60


def test_connection_is_closed_with_its_loop(server):
    # An unclosed connection warns when it is collected, and warnings are errors here.
    chat(client_of(server))
    embed(client_of(server), ["a"])
    gc.collect()


def test_rate_limits_and_errors_are_retried_through_the_gate(server):
    client = client_of(server)
    gate = Gate.of(client.endpoint("openai/rate-limited-2"))

    async def main():
        limited = call_with_retries(
            lambda: client.chat("openai/rate-limited-2", HELLO), gate, retries=3
        )
        broken = call_with_retries(lambda: client.chat("openai/err500-1", HELLO), gate, retries=3)
        return await asyncio.gather(limited, broken)

    (limited, thrice), (broken, twice) = asyncio.run(main())
    assert (thrice, twice) == (3, 2)
    assert limited.value["model"] == "rate-limited-2"
    assert broken.value["model"] == "err500-1"
    assert gate.limit < 64
