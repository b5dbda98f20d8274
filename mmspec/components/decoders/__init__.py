"""What was understood, to a stream again."""
