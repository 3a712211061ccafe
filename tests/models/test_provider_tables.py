"""Built-in tables of models and providers agree with LiteLLM."""

from __future__ import annotations

import subprocess
import sys

import pytest

from barbule.models.litellm.loading import import_litellm
from barbule.models.price_table import model_info, vector_length
from barbule.models.providers import ANY_PROVIDER, KINDS, PROVIDERS, provider_of

ROWS = [row for row in dict.fromkeys(PROVIDERS.values()) if row.name != ANY_PROVIDER]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_litellm_supports_every_provider(row):
    litellm = import_litellm()
    prefixes = {provider.value for provider in litellm.LlmProviders}
    for kind in (None, "chat"):
        prefix, _, name = row.qualified("some-model", kind).partition("/")
        assert prefix in prefixes
        assert name == "some-model"
    assert row.kinds
    assert set(row.kinds.split()) <= set(KINDS)


@pytest.mark.parametrize("row", [row for row in ROWS if row.model], ids=lambda row: row.name)
def test_default_models_are_chat_models_of_litellm(row):
    assert row.answers("chat")
    info = model_info(row.qualified(row.model, "chat"))
    # Models of two providers are not listed under their own prefix.
    assert info.get("mode") == "chat" or row.name in {"moonshot", "github"}


@pytest.mark.parametrize(
    ("name", "model", "kind", "expected"),
    [
        ("ollama", "qwen3", "chat", "ollama_chat/qwen3"),
        ("ollama", "ollama/qwen3", "chat", "ollama_chat/qwen3"),
        ("ollama", "bge-m3", "embed", "ollama/bge-m3"),
        ("vllm", "Qwen/Qwen3-8B", "chat", "hosted_vllm/Qwen/Qwen3-8B"),
        ("vllm", "vllm/Qwen/Qwen3-8B", "chat", "hosted_vllm/Qwen/Qwen3-8B"),
        ("openrouter", "openai/gpt-4o", "chat", "openrouter/openai/gpt-4o"),
        ("together", "together_ai/x", "chat", "together_ai/x"),
        ("litellm", "openai/gpt-4o", "chat", "openai/gpt-4o"),
        ("litellm", "ollama/qwen3", "chat", "ollama_chat/qwen3"),
        ("litellm", "vllm/x", "embed", "hosted_vllm/x"),
        ("litellm", "not_in_the_table/x", "chat", "not_in_the_table/x"),
    ],
)
def test_model_name_is_qualified_with_its_prefix(name, model, kind, expected):
    assert PROVIDERS[name].qualified(model, kind) == expected
    assert PROVIDERS[name].qualified(expected, kind) == expected


def test_prefix_maps_to_its_provider():
    assert provider_of("ollama_chat") is PROVIDERS["ollama"]
    assert provider_of("vertex") is PROVIDERS["vertex_ai"]
    assert provider_of("nobody") is None


@pytest.mark.parametrize(
    ("model", "length"),
    [
        ("openai/text-embedding-3-small", 1536),
        ("azure/text-embedding-3-large", 3072),
        ("openrouter/openai/text-embedding-3-small", 1536),
        ("voyage/voyage-3", 1024),
        ("ollama/nomic-embed-text:latest", 768),
        ("vertex_ai/text-embedding-005", 768),
        ("azure/a-deployment-of-mine", None),
        ("openai/of-my-own-server", None),
        ("anthropic/text-embedding-3-small", None),
    ],
)
def test_embedding_length_of_known_models(model, length):
    assert vector_length(model) == length


def test_model_info_is_read_without_litellm():
    code = (
        "import sys; from barbule.models.price_table import model_info; "
        "assert model_info('openai/gpt-4o-mini')['mode'] == 'chat'; "
        "assert model_info('nobody/x') == {}; assert 'litellm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
