"""Which tokens a stack goes on with."""
