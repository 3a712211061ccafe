"""From an expression to a plan: pure rewrites without side effects; nothing is executed here."""
