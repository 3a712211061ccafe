"""Stand-ins that tests talk to over real protocols: no part of barbule is replaced by them."""
