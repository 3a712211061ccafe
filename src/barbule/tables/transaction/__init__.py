"""One change of the database: what it writes and reads, and its commit."""
