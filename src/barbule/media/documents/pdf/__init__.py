"""The PDF reader, and text recognition for scanned pages."""
