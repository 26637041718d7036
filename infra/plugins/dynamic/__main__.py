"""Serve dynamic providers: Pulumi's SDK does it, this adds that it ends with the engine."""

from __future__ import annotations

import runpy

from infra.plugins.lifetime import end_with_parent

end_with_parent()
runpy.run_module("pulumi.dynamic", run_name="__main__", alter_sys=True)
