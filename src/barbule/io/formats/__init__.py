"""Data set formats: one reader and writer each."""
