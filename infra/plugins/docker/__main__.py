"""Serve the plugin: the engine starts this with its own address as the argument."""

from __future__ import annotations

import sys

from pulumi.provider.experimental.server import main

from infra.plugins.docker.provider import DockerProvider
from infra.plugins.lifetime import end_with_parent

VERSION = "5.2.0"  # of the official plugin whose types are served

end_with_parent()
main(sys.argv[1:], VERSION, DockerProvider())
