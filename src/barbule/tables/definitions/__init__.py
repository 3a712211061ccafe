"""How the columns of a table are defined, as users read it."""
