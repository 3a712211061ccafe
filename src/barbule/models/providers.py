"""The table of model providers.

One row per provider: its LiteLLM prefix, the types of calls it supports, the environment variable
of its key, and the default model of the language functions. Must import nothing heavy: namespaces
are created from it when barbule is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

__all__ = ["ANY_PROVIDER", "KINDS", "PROVIDERS", "Kind", "Provider", "provider_of", "qualified"]

Kind = Literal["chat", "embed", "image", "transcribe", "speak", "moderate", "rerank"]

KINDS: tuple[Kind, ...] = get_args(Kind)


ANY_PROVIDER = "litellm"
"""The namespace whose models include their provider's prefix."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A model provider.

    Parameters
    ----------
    name
        The name of its namespace and of its settings, `[models.<name>]`.
    kinds
        The types of calls that LiteLLM supports for it, separated by spaces.
    key
        The environment variable that holds its key; None where it needs none, or more than one.
    model
        The default model of the language functions; None where there is no sensible one.
    prefix, chat_prefix
        The LiteLLM prefix where it is not the name, and the one for chats where that differs.
    aliases
        Other names of the namespace.

    Examples
    --------
    >>> PROVIDERS["ollama"].qualified("qwen3", "chat"), PROVIDERS["ollama"].qualified("bge-m3")
    ('ollama_chat/qwen3', 'ollama/bge-m3')
    """

    name: str
    kinds: str
    key: str | None = None
    model: str | None = None
    prefix: str = ""
    chat_prefix: str = ""
    aliases: tuple[str, ...] = field(default=())

    def answers(self, kind: Kind) -> bool:
        """Whether it supports a type of call."""
        return kind in self.kinds.split()

    def qualified(self, model: str, kind: Kind | None = None) -> str:
        """Return a model's name with its LiteLLM prefix."""
        if self.name == ANY_PROVIDER:
            provider = provider_of(model.partition("/")[0])
            return provider.qualified(model, kind) if provider and provider is not self else model
        prefix = (self.chat_prefix if kind == "chat" else "") or self.prefix or self.name
        for name in (self.name, *self.aliases):
            if name != prefix and model.startswith(f"{name}/"):
                return f"{prefix}/{model.removeprefix(f'{name}/')}"
        return qualified(prefix, model)


def qualified(prefix: str, model: str) -> str:
    """Return a model's name with its provider's prefix.

    Parameters
    ----------
    prefix
        The LiteLLM prefix.
    model
        The model's name, with or without this prefix. Other slashes belong to the name.

    Returns
    -------
    str
        `prefix/name`.

    Examples
    --------
    >>> qualified("openai", "gpt-4o-mini"), qualified("openai", "openai/gpt-4o-mini")
    ('openai/gpt-4o-mini', 'openai/gpt-4o-mini')
    >>> qualified("openrouter", "openai/gpt-4o-mini")
    'openrouter/openai/gpt-4o-mini'
    """
    return model if model.startswith(f"{prefix}/") else f"{prefix}/{model}"


_ALL_KINDS = " ".join(KINDS)

_ROWS = (
    Provider(ANY_PROVIDER, _ALL_KINDS),
    Provider(
        "openai", "chat embed image transcribe speak moderate", "OPENAI_API_KEY", "gpt-4o-mini"
    ),
    Provider("anthropic", "chat", "ANTHROPIC_API_KEY", "claude-haiku-4-5"),
    Provider(
        "gemini", "chat embed image transcribe speak", "GEMINI_API_KEY", "gemini-flash-latest"
    ),
    Provider(
        "vertex_ai",
        "chat embed image transcribe speak rerank",
        model="gemini-3.5-flash",
        aliases=("vertex",),
    ),
    Provider("azure", "chat embed image transcribe speak", "AZURE_API_KEY"),
    Provider("azure_ai", "chat embed image rerank", "AZURE_AI_API_KEY"),
    Provider("bedrock", "chat embed image rerank", model="amazon.nova-lite-v1:0"),
    Provider("sagemaker", "chat embed"),
    Provider("mistral", "chat embed transcribe speak", "MISTRAL_API_KEY", "mistral-small-latest"),
    Provider("groq", "chat transcribe speak", "GROQ_API_KEY", "openai/gpt-oss-20b"),
    Provider(
        "together_ai",
        "chat embed image transcribe speak rerank",
        "TOGETHERAI_API_KEY",
        "Qwen/Qwen3-VL-8B-Instruct",
        aliases=("together",),
    ),
    Provider(
        "fireworks_ai",
        "chat embed transcribe rerank",
        "FIREWORKS_AI_API_KEY",
        "accounts/fireworks/models/gpt-oss-20b",
        aliases=("fireworks",),
    ),
    Provider("deepseek", "chat", "DEEPSEEK_API_KEY", "deepseek-v4-flash"),
    Provider("openrouter", "chat embed image", "OPENROUTER_API_KEY", "openai/gpt-4o-mini"),
    Provider("ollama", "chat embed", chat_prefix="ollama_chat"),
    Provider(
        "hosted_vllm", "chat embed transcribe rerank", "HOSTED_VLLM_API_KEY", aliases=("vllm",)
    ),
    Provider("cohere", "chat embed rerank", "COHERE_API_KEY", "command-a-03-2025"),
    Provider("jina_ai", "embed rerank", "JINA_AI_API_KEY", aliases=("jina",)),
    Provider("voyage", "embed rerank", "VOYAGE_API_KEY"),
    Provider("perplexity", "chat embed", "PERPLEXITYAI_API_KEY", "sonar"),
    Provider("xai", "chat image transcribe", "XAI_API_KEY", "grok-4.3"),
    Provider("replicate", "chat", "REPLICATE_API_KEY"),
    Provider("watsonx", "chat embed transcribe rerank", "WATSONX_APIKEY"),
    Provider("deepinfra", "chat rerank", "DEEPINFRA_API_KEY", "openai/gpt-oss-20b"),
    Provider("nvidia_nim", "chat embed rerank", "NVIDIA_NIM_API_KEY"),
    Provider("cerebras", "chat", "CEREBRAS_API_KEY", "gpt-oss-120b"),
    Provider("sambanova", "chat embed", "SAMBANOVA_API_KEY", "gpt-oss-120b"),
    Provider("databricks", "chat embed", "DATABRICKS_API_KEY"),
    Provider("moonshot", "chat", "MOONSHOT_API_KEY", "kimi-k2.5"),
    Provider("dashscope", "chat embed image rerank", "DASHSCOPE_API_KEY", "qwen-flash"),
    Provider("nebius", "chat embed", "NEBIUS_API_KEY"),
    Provider("novita", "chat", "NOVITA_API_KEY"),
    Provider("hyperbolic", "chat", "HYPERBOLIC_API_KEY"),
    Provider("friendliai", "chat", "FRIENDLI_TOKEN"),
    Provider("cloudflare", "chat", "CLOUDFLARE_API_KEY"),
    Provider("github", "chat", "GITHUB_API_KEY", "gpt-4o-mini"),
    Provider("ai21", "chat", "AI21_API_KEY"),
    Provider("volcengine", "chat embed", "VOLCENGINE_API_KEY"),
    Provider("snowflake", "chat embed", "SNOWFLAKE_JWT"),
    Provider("oci", "chat embed"),
    Provider("scaleway", "chat transcribe rerank", "SCW_SECRET_KEY"),
    Provider("ovhcloud", "chat embed transcribe", "OVHCLOUD_API_KEY"),
    Provider("lm_studio", "chat embed", "LM_STUDIO_API_KEY"),
    Provider("llamafile", "chat embed"),
    Provider("xinference", "chat embed image", "XINFERENCE_API_KEY"),
    Provider("infinity", "embed rerank", "INFINITY_API_KEY"),
    Provider("litellm_proxy", "chat embed image transcribe speak rerank", "LITELLM_PROXY_API_KEY"),
    Provider("elevenlabs", "transcribe speak", "ELEVENLABS_API_KEY"),
    Provider("deepgram", "transcribe", "DEEPGRAM_API_KEY"),
    Provider("fal_ai", "image", "FAL_AI_API_KEY"),
    Provider("recraft", "image", "RECRAFT_API_KEY"),
    Provider("stability", "image", "STABILITY_API_KEY"),
    Provider("black_forest_labs", "image", "BFL_API_KEY"),
)

PROVIDERS: dict[str, Provider] = {name: row for row in _ROWS for name in (row.name, *row.aliases)}
"""Namespace, aliases included, to provider."""

_BY_PREFIX = {
    prefix: row for row in _ROWS for prefix in (row.name, row.prefix, row.chat_prefix) if prefix
}


def provider_of(prefix: str) -> Provider | None:
    """Return the provider behind a LiteLLM prefix, None when it is not in the table.

    Examples
    --------
    >>> provider_of("ollama_chat").name
    'ollama'
    """
    return PROVIDERS.get(prefix) or _BY_PREFIX.get(prefix)
