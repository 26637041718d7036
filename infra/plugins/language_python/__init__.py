"""A language host that runs the stacks' Python programs under `pulumi`, where the official one is missing."""
