"""Methods that read, label, revert and drop versions, one file each."""
