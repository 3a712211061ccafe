"""Parameters of functions: annotations, arguments and their validation."""
