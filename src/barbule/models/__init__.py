"""Model providers behind one small protocol.

Owns how a model is asked (`base`, `litellm`) and how fast (`rates`). What is asked, how
often, and what an answer costs are decided above: nothing here knows tables, the ledger
or budgets. Importing this package or its modules must not import LiteLLM, which takes
seconds; that happens with the first call.
"""
