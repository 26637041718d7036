"""Traffic adapters: how a share of the requests moves from one slot to the other."""
