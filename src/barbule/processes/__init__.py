"""Other processes of this machine, in which calls are made. Must not hold code."""
