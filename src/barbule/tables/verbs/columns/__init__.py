"""Methods that change columns, one file each, and their shared parts."""
