"""What pyramids are made of: stages of blocks on a map, and what makes the map smaller between them."""
