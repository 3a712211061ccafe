"""How long tests wait for what has to come: so long that it never is too short."""

PATIENCE = 300  # seconds until something counts as stuck, on a machine that does much else
