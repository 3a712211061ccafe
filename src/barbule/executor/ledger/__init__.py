"""The call ledger: answers of functions and models, stored once."""
