"""The identity of a function: a hash of its code and of its closure."""
