"""A Pulumi plugin for Docker, used where the official one can't be downloaded."""

VERSION = "5.2.0"  # of the official plugin whose types are served
