"""The model client that calls providers through LiteLLM."""
