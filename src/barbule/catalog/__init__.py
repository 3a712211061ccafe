"""The catalog: records of tables and versions, their stored form, and the commits."""
