"""The verbs of tables and views, one file each."""
