"""A Pulumi plugin for Docker, used where the official one can't be downloaded."""
