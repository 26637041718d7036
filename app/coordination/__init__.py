"""Who may use which worker id."""
