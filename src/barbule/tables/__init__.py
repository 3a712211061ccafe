"""Tables and views: their methods, and how their rows and structure change."""
