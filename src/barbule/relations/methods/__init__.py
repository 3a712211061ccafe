"""The methods of columns, by the type of their values."""
