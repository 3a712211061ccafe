"""Worker processes on this machine, which run calls. Must not hold code."""
