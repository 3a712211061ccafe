"""Calls of functions and models for the rows of a batch."""
