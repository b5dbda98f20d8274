"""Which tokens of a context are looked at."""
