"""Vector and keyword search: which index is used, and what it returns."""
