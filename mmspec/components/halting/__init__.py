"""When a stack may stop early."""
