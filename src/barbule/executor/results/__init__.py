"""Results of queries: result sets and the formats they convert to."""
