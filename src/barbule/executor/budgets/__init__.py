"""Budgets: what calls may cost, what they have cost, and forecasts."""
