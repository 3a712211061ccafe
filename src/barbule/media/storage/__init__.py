"""Storage of media: references to objects, the undo log of operations, the file cache."""
