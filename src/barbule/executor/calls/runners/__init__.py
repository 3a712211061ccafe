"""How each type of function is run: in threads, as coroutines, in batches, or as queries."""
