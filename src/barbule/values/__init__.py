"""Conversion between Python values and Arrow arrays, by data type."""
