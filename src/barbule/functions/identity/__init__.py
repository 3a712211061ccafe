"""The identity of a function: a hash of its code and of what it closes over."""
