"""The rewrite rules of the planner, one file each."""
