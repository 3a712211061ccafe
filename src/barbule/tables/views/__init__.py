"""Views: what they are over, and how their rows follow those of their base tables."""
