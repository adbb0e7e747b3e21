"""What the bytes are, whatever anybody calls them, and rules about it."""
