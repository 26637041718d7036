"""The shell around the pure core: phases that act, observe, and write what they did in the journal."""
