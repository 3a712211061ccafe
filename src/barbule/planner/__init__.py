"""From an expression to a plan: pure rewrites, no side effects, nothing is run here."""
