"""The implementations of table and view methods, one file each."""
