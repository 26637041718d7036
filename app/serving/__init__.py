"""One process of the service put together: its generators, its stores, its upkeep, its start and its stop."""
