"""Lowering: from barbule's operations to plain Ibis."""
