"""Pinned tools, and what makes a machine ready to use them."""
