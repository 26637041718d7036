"""What the administrative API does, without Flask: workspaces, groups, tags, keys, in Postgres.

Each function takes the engine and the calling Principal, does its work in one transaction, and raises a
ProblemError for what the caller asked wrongly. Everything is scoped to the caller's workspace.
"""
