"""What barbule knows of its tables: records, their stored form, and the commits."""
