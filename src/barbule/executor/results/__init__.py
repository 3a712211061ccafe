"""What queries return: result sets and the formats they convert to."""
