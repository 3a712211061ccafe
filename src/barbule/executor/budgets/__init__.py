"""Budgets: limits on the cost of calls, actual costs, and forecasts."""
