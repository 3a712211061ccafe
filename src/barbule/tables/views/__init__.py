"""Views: their sources, and how their rows are kept up to date with their base tables."""
