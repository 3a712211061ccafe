"""The models of `ollama`, through LiteLLM."""

from barbule.functions.providers import declare

chat_completions, vision = declare("ollama")

__all__ = ["chat_completions", "vision"]
