"""Runs plans over Arrow batches, with the call ledger in front of the models."""
