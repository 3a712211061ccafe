"""The models of `gemini`, through LiteLLM."""

from barbule.functions.providers import declare

chat_completions, vision = declare("gemini")

__all__ = ["chat_completions", "vision"]
