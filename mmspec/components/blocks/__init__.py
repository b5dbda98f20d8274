"""What encoders, fusions and decoders are stacks of."""
