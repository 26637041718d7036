"""Real distributions made on the fly: a module and its dist-info."""

import sys
import textwrap
import time

import pytest

from app.plugins.plugin import Context

SOURCE = """
    import itertools
    from app.ids.model import Batch, Health, Id

    NAME = "{version}"

    class Counting:
        kind = "int64"

        def __init__(self, config, context):
            self.name, self.made_by = config.algorithm, NAME
            self._next = itertools.count(1)

        def generate(self):
            return Id(next(self._next))

        def batch(self, count):
            values = [next(self._next) for _ in range(count)]
            return Batch("int64", tuple(range(v, v + 1) for v in values))

        def health(self):
            return Health(True)

        def metrics(self):
            return {{"made_by": 1.0, "version_is": float(len(NAME))}}

        def late(self):
            return NAME
"""


@pytest.fixture
def context() -> Context:
    return Context(0, 1, lambda: time.time_ns() // 1_000_000, time.monotonic, lambda n: b"\0" * n)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """install(...) puts a distribution into a directory of sys.path, as pip would."""
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(str(directory))
    before = set(sys.modules)

    def install(
        version="1.0",
        *,
        source=SOURCE,
        entries=None,
        module="acme_ids",
        distribution="acme-ids",
        package=None,
    ) -> None:
        for old in directory.glob(f"{distribution.replace('-', '_')}-*.dist-info"):
            for file in old.iterdir():
                file.unlink()
            old.rmdir()
        info = directory / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        lines = entries if entries is not None else {"counting": f"{module}:Counting"}
        rows = "\n".join(f"{name} = {value}" for name, value in lines.items())
        (info / "entry_points.txt").write_text(f"[plumbline.algorithms]\n{rows}\n")
        if package:
            (directory / module).mkdir(exist_ok=True)
            for name, text in package.items():
                (directory / module / name).write_text(textwrap.dedent(text).format(version=version))
        else:
            (directory / f"{module}.py").write_text(textwrap.dedent(source).format(version=version))

    install.directory, install.source = directory, SOURCE
    yield install
    for name in set(sys.modules) - before:
        if name.startswith(("acme", "other")):
            del sys.modules[name]
