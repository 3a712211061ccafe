"""Adapters to the databases that hold tables, catalog and call ledger; one module each."""
