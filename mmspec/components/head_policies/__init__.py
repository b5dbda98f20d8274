"""Which heads of attention a sample needs."""
