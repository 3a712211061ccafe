"""Any model that LiteLLM reaches: its name is given with the provider's prefix."""

from barbule.functions.providers import declare

chat_completions, vision = declare("litellm")

__all__ = ["chat_completions", "vision"]
