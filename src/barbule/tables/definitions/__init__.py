"""The definitions of the columns of a table, for users."""
