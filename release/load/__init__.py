"""Constant-rate load on an environment's own edge, from its client host; its counts judge lost requests."""
