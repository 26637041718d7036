"""Schema changes, run by `python -m app.migrate upgrade`. Each says if it expands or contracts."""
