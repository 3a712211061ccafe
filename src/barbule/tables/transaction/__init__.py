"""A single transaction: its reads, its writes, and its result."""
