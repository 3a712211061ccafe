"""Every kind of model call, and providers other than OpenAI, over real HTTP."""

from __future__ import annotations

import asyncio
import base64
import http.server
import threading
from pathlib import Path

import pytest

from barbule.errors import ConfigurationError, ModelError
from barbule.models.base import Endpoint, Usage
from barbule.models.litellm.client import LiteLLMClient
from fakes.models_server import PIXEL, FakeModels

KEY = "sk-a-very-secret-key-0123456789"
HELLO = [{"role": "user", "content": "hello there"}]


@pytest.fixture
def server():
    with FakeModels() as running:
        yield running


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("BARBULE_TEST_KEY", KEY)


def client_of(server: FakeModels, base: str | None = None, **settings) -> LiteLLMClient:
    names = ("openai", "anthropic", "hosted_vllm", "cohere", "voyage", "azure", "mistral", "groq")
    root = server.url.removesuffix("/v1")
    bases = {"anthropic": root, "azure": root}
    settings = {"api_key_env": "BARBULE_TEST_KEY", "timeout": 30.0, **settings}
    return LiteLLMClient(
        {n: Endpoint(n, api_base=base or bases.get(n, server.url), **settings) for n in names}
    )


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "bird.wav"
    path.write_bytes(b"RIFF" + bytes(96))
    return path


def ask(server, verb, *args, **params):
    return asyncio.run(getattr(client_of(server), verb)(*args, **params))


def test_image_reply_is_bytes(server):
    reply = ask(server, "image", "openai/gpt-image-1", "a feather", size="1024x1024")
    assert reply.value == base64.b64decode(PIXEL)
    assert reply.usage == Usage(None, None, None)
    assert server.requests[0]["size"] == "1024x1024"


def test_image_url_is_fetched(server):
    reply = ask(server, "image", "openai/image-by-url", "a feather")
    assert reply.value == base64.b64decode(PIXEL)


def test_image_url_on_a_private_network_is_not_fetched(server):
    client = client_of(server)
    with pytest.raises(ModelError, match="cannot be downloaded"):
        asyncio.run(client._fetch_image("http://10.0.0.1/x.png", "openai/x"))
    client = client_of(server, base="http://localhost:1/v1")
    with pytest.raises(ModelError, match="cannot be downloaded"):
        asyncio.run(client._fetch_image(f"{server.url}/pixel.png", "openai/x"))


@pytest.fixture
def elsewhere():
    """Return servers on private hosts other than that of the provider."""
    paths = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_response(302 if self.path.startswith("/to?") else 200)
            if self.path.startswith("/to?"):
                self.send_header("Location", self.path.removeprefix("/to?"))
            self.end_headers()
            self.wfile.write(base64.b64decode(PIXEL))

        def log_message(self, *args):
            pass

    def serve(host):
        server = http.server.ThreadingHTTPServer((host, 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://{host}:{server.server_port}"

    servers = []
    yield serve, paths
    for server in servers:
        server.shutdown()
        server.server_close()


def test_image_redirect_to_another_private_host_is_rejected(server, elsewhere):
    serve, paths = elsewhere
    own, other = serve("127.0.0.1"), serve("127.0.0.2")
    client = client_of(server)
    content = asyncio.run(client._fetch_image(f"{own}/to?{own}/a.png", "openai/x"))
    assert content == base64.b64decode(PIXEL)
    with pytest.raises(ModelError, match="private or reserved"):
        asyncio.run(client._fetch_image(f"{own}/to?{other}/meta-data", "openai/x"))
    assert "/meta-data" not in paths


@pytest.mark.parametrize("scheme", ["", "file://", "FILE://", "memory:/", "s3:/"])
def test_image_path_of_the_local_machine_is_rejected(server, tmp_path, scheme):
    (tmp_path / "secret.txt").write_text("secret")
    with pytest.raises(ModelError, match=r"secret\.txt', which is not an HTTP URL"):
        asyncio.run(client_of(server)._fetch_image(f"{scheme}{tmp_path}/secret.txt", "openai/x"))


def test_transcription_includes_timestamps(server, sound):
    reply = ask(server, "transcribe", "openai/whisper-1", sound, language="en")
    text = "heard 100 bytes of bird.wav"
    assert reply.value == {
        "text": text,
        "language": "english",
        "duration": 1.5,
        "segments": [{"start": 0.0, "end": 1.5, "text": text}],
        "words": [{"start": 0.0, "end": 0.5, "word": "heard"}],
    }
    assert reply.usage.usd == pytest.approx(1.5 * 0.0001)
    (request,) = server.received
    assert (request.path, request.body["language"]) == ("/v1/audio/transcriptions", "en")


def test_transcription_without_timestamps(server, sound):
    reply = ask(server, "transcribe", "groq/whisper-of-mine", sound)
    assert reply.value["text"].startswith("heard")
    assert reply.value["segments"] is reply.value["words"] is reply.value["duration"] is None
    assert reply.usage.usd is None


def test_speech_reply_is_bytes(server):
    reply = ask(server, "speak", "openai/tts-1", "hello", voice="alloy")
    assert reply.value.startswith(b"RIFF")
    assert reply.usage.usd == pytest.approx(5 * 15e-6)
    assert server.requests[0] == {"input": "hello", "model": "tts-1", "voice": "alloy"}


@pytest.mark.parametrize(("text", "flagged"), [("I love birds", False), ("I kill birds", True)])
def test_moderation_returns_categories_and_scores(server, text, flagged):
    reply = ask(server, "moderate", "openai/omni-moderation-latest", text)
    assert reply.value["flagged"] is flagged
    assert reply.value["categories"]["violence"] is flagged
    assert reply.value["category_scores"]["hate_threatening"] == 0.1
    assert set(reply.value["categories"]) == set(reply.value["category_scores"])


@pytest.mark.parametrize("model", ["hosted_vllm/mine", "voyage/rerank-2"])
def test_rerank_returns_indices_and_scores(server, model):
    reply = ask(server, "rerank", model, "a bird", ["a stone", "a bird", "bread"], top_n=2)
    assert reply.value[0] == {"index": 1, "relevance_score": 1.0}
    assert [item["index"] for item in reply.value][:2] == [1, 0]
    assert reply.usage.tokens_in == 5
    assert (reply.usage.usd is None) == (model == "hosted_vllm/mine")


def test_rerank_of_no_documents_sends_no_request(server):
    assert ask(server, "rerank", "voyage/rerank-2", "a bird", []).value == []
    assert server.count == 0


@pytest.mark.parametrize("model", ["anthropic/claude-haiku-4-5", "openai/gpt-4o-mini"])
def test_messages_have_the_anthropic_format_for_every_provider(server, model):
    reply = ask(server, "messages", model, HELLO, max_tokens=9)
    assert reply.value["content"][0]["text"] == "echo: hello there"
    assert reply.value["stop_reason"] == "end_turn"
    assert reply.value["usage"] == {"input_tokens": 2, "output_tokens": 3}
    assert reply.usage.usd is not None
    assert server.requests[0]["max_tokens"] == 9


def test_cost_of_messages_of_an_unknown_model_is_unknown(server):
    assert ask(server, "messages", "openai/echo", HELLO, max_tokens=9).usage.usd is None


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("anthropic/claude-haiku-4-5", "/v1/messages"),
        ("mistral/mistral-small-latest", "/v1/chat/completions"),
        ("hosted_vllm/mine", "/v1/chat/completions"),
        ("azure/my-deployment", "/openai/deployments/my-deployment/chat/completions"),
    ],
)
def test_chats_of_other_providers_have_the_same_shape(server, model, path):
    reply = ask(server, "chat", model, HELLO)
    assert reply.value["choices"][0]["message"]["content"] in {"echo: hello there", "parts: text"}
    assert reply.usage.tokens_in == 2
    assert server.received[0].path.split("?")[0] == path


def test_settings_apply_to_every_alias_of_a_provider(server):
    for name in ("vllm", "hosted_vllm"):
        client = LiteLLMClient({name: Endpoint(name, api_base=server.url)})
        assert client.endpoint("hosted_vllm/x").api_base == server.url
    client = LiteLLMClient({"ollama": Endpoint("ollama", api_base=server.url)})
    assert client.endpoint("ollama_chat/x").api_base == server.url
    assert LiteLLMClient().endpoint("ollama_chat/x").provider == "ollama"


def test_model_capabilities_are_reported():
    client = LiteLLMClient()
    assert client.takes("openai/gpt-4o-mini", "pdf")
    assert not client.takes("openai/of-mine", "pdf")
    assert client.takes("openai/of-mine", "response_format")
    assert not client.takes("perplexity/sonar", "tools")


KINDS = [
    ("chat", (HELLO,), {}),
    ("messages", (HELLO,), {"max_tokens": 9}),
    ("embed", (["hello"],), {}),
    ("image", ("hello",), {}),
    ("speak", ("hello",), {"voice": "alloy"}),
    ("moderate", ("hello",), {}),
    ("transcribe", ("sound",), {}),
]


FATES = [
    ("429", True, "Rate limit reached"),
    ("500", True, "boom"),
    ("malformed", True, "not JSON"),
    ("disconnect", True, "connection failed"),
    ("auth", False, "Incorrect API key"),
    ("ctx", False, "maximum context length"),
    ("policy", False, "safety system"),
]
# A speech reply is no JSON: every body is valid.
FAILURES = [
    pytest.param(*kind, *fate, id=f"{kind[0]}-{fate[0]}")
    for kind in KINDS
    for fate in FATES
    if (kind[0], fate[0]) != ("speak", "malformed")
]


@pytest.mark.parametrize(
    ("verb", "args", "params", "fate", "retryable", "message"),
    FAILURES,
)
def test_every_kind_reports_failures_alike(  # noqa: PLR0913
    server, sound, verb, args, params, fate, retryable, message
):
    server.script(fate)
    args = tuple(sound if arg == "sound" else arg for arg in args)
    with pytest.raises(ModelError, match=message) as caught:
        ask(server, verb, "openai/gpt-4o-mini", *args, **params)
    error = caught.value
    assert error.retryable is retryable
    assert error.retry_after == (0.05 if fate == "429" else None)
    assert KEY not in f"{error!s}{error!r}"
    assert "litellm" not in str(error).lower()
    assert error.__cause__ is error.__context__ is None
    assert server.count == 1, "the client retried by itself"


@pytest.mark.parametrize("model", ["anthropic/auth", "azure/auth", "hosted_vllm/auth"])
def test_no_provider_error_shows_the_key(server, model):
    server.script("auth")
    with pytest.raises(ModelError, match="Incorrect API key provided: ") as caught:
        ask(server, "chat", model, HELLO)
    assert KEY not in str(caught.value)
    assert not caught.value.retryable


def test_timeout_is_retryable(server, sound):
    client = client_of(server, timeout=0.2)
    server.script("timeout")
    with pytest.raises(ModelError, match=r"no answer within 0\.2 s") as caught:
        asyncio.run(client.transcribe("openai/whisper-1", sound))
    assert caught.value.retryable


def test_missing_key_error_names_the_provider_variable(monkeypatch):
    for name in ("TOGETHERAI_API_KEY", "PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ModelError, match="Set the environment variable PERPLEXITYAI_API_KEY"):
        asyncio.run(LiteLLMClient().chat("perplexity/sonar", HELLO))


def test_client_parameter_is_rejected(server):
    with pytest.raises(ConfigurationError, match="'client' cannot be passed"):
        ask(server, "chat", "openai/echo", HELLO, client=object())


def test_litellm_fetches_no_remote_tables():
    # Both switches keep LiteLLM from fetching remote tables.
    import os

    asyncio.run(LiteLLMClient().ready())
    assert os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"
    assert os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] == "True"


def test_audio_file_is_read_during_the_call(server, tmp_path):
    with pytest.raises(FileNotFoundError):
        ask(server, "transcribe", "openai/whisper-1", Path(tmp_path / "none.wav"))


IMPOSSIBLE = [2**62, 2**63, 10**40, -5]


@pytest.mark.parametrize("count", IMPOSSIBLE)
def test_impossible_chat_token_counts_are_unknown(server, count):
    server.counts = count
    reply = ask(server, "chat", "openai/gpt-4o-mini", HELLO)
    assert reply.value["choices"][0]["message"]["content"] == "echo: hello there"
    assert set(reply.value["usage"].values()) == {None}
    assert reply.usage == Usage(None, None, None)


@pytest.mark.parametrize("count", IMPOSSIBLE)
def test_impossible_embedding_token_counts_are_unknown(server, count):
    server.counts = count
    reply = ask(server, "embed", "openai/text-embedding-3-small", ["a b"])
    assert len(reply.value[0]) == 8
    assert (reply.usage.tokens_in, reply.usage.usd) == (None, None)


@pytest.mark.parametrize("count", [*IMPOSSIBLE, 3.7, "many", [1], {"a": 1}])
def test_impossible_message_token_counts_are_unknown(server, count):
    server.counts = count
    name = "anthropic/claude-3-5-haiku-20241022"
    reply = ask(server, "messages", name, HELLO, max_tokens=9)
    assert reply.value["content"][0]["text"] == "echo: hello there"
    assert reply.value["usage"] == {"input_tokens": None, "output_tokens": None}
    assert reply.usage == Usage(None, None, None)
