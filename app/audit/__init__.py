"""Who changed what, and what happened to the service: events, kept in Postgres, never in a request's way."""
