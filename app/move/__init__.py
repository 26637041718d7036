"""Moves an existing database of an ID service into this schema, so that no ID is issued again."""
