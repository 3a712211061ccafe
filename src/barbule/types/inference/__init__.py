"""Types of data: of values, records, data frames and Arrow tables."""
