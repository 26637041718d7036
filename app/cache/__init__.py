"""Redis as a second cache between a process and the database. It's never the source of anything."""
