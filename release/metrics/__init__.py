"""Where the figures come from. One adapter for each source; all answer with release.sample's values."""
