"""One modality to tokens."""
