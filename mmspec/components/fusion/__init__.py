"""Several streams of tokens brought together."""
