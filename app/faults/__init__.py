"""Faults that a release can be made to suffer, each by its real cause.

They are off unless the environment allows them.
"""
