"""How tokens are told where they stand."""
