"""The display of rows, differences and progress in a terminal and in a notebook."""
