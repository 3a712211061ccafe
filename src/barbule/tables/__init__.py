"""Tables and views: their verbs, and how their rows and structure change."""
