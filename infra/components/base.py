"""The base of every component."""

from __future__ import annotations

import pulumi


class Component(pulumi.ComponentResource):
    """A group of resources with a type token `plumbline:<layer>:<Kind>`."""

    def __init__(self, token: str, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"plumbline:{token}", name, None, opts)
