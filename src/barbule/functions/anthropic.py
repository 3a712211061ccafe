"""The models of `anthropic`, through LiteLLM."""

from barbule.functions.providers import declare

chat_completions, vision = declare("anthropic")

__all__ = ["chat_completions", "vision"]
