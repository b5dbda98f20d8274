"""What a model takes on this machine: run, and beside what was predicted."""
