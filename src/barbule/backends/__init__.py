"""Adapters to the databases that store tables, catalog and call ledger; one module each."""
