"""Builds the bundle that a release installs: locked dependencies and the app's wheel, in one file."""
