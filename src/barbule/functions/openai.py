"""The models of `openai`, through LiteLLM."""

from barbule.functions.providers import declare

chat_completions, vision = declare("openai")

__all__ = ["chat_completions", "vision"]
