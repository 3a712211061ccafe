"""Model clients: one protocol for all providers, and local models.

The protocol is in `base`; `litellm` implements it for hosted models, `huggingface` loads local
weights, `rate_limits` controls how fast an endpoint is called. What is called, how often, and what
it may cost is decided by the executor: nothing here knows tables, the call ledger or budgets.
Importing this package must not import LiteLLM, which takes seconds; the first call does.
"""
