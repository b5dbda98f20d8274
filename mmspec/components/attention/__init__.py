"""Which tokens see which, and how that is computed."""
