"""Pulumi plugins and a language host that serve where the official ones can't be downloaded."""
