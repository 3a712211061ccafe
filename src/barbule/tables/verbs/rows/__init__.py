"""Methods that change rows, one file each, and their shared parts."""
