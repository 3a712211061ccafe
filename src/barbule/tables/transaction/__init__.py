"""One transaction: what it reads and writes, and what it returns."""
