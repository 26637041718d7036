"""A workspace's configuration at a moment, to compare with and to go back to."""
