"""Plugins over HTTP."""

SOURCE = """
from app.ids.model import Batch, Health, Id

class Fixed:
    kind = "int64"
    def __init__(self, config, context):
        self.name, self.next = config.algorithm, 1
    def batch(self, count):
        first, self.next = self.next, self.next + count
        return Batch("int64", (range(first, first + count),))
    def generate(self):
        return next(self.batch(1).ids())
    def health(self):
        return Health(True)
    def metrics(self):
        return {}
"""


def install(directory, source: str) -> None:
    info = directory / "acme_fixed-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-fixed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[plumbline.algorithms]\nfixed = acme_fixed:Fixed\n")
    (directory / "acme_fixed.py").write_text(source)


def test_an_operator_reloads_plugins_and_everyone_may_see_them(service, root, tenant, refused, monkeypatch):
    directory = service.state_dir / "site"
    install(directory, SOURCE)
    monkeypatch.syspath_prepend(str(directory))
    monkeypatch.setattr(service.plugins, "_path", [str(directory)])
    assert tenant.get("/v1/plugins").json == {"items": []}
    refused(tenant.post("/v1/plugins:reload"), 403, "scope-missing")
    assert service.reloads == []
    done = root.post("/v1/plugins:reload").json
    assert (done["outcome"], done["changed"], service.reloads) == ("ok", ["fixed"], [1])
    (plugin,) = tenant.get("/v1/plugins").json["items"]
    assert (plugin["name"], plugin["version"], plugin["state"]) == ("fixed", "1.0", "active")
    install(directory, "raise ValueError('broken')")
    done = root.post("/v1/plugins:reload").json
    assert done["outcome"] == "error" and "broken" in done["errors"][0]
    assert done["items"][0]["state"] == "outdated" and "fixed" in service.plugins
    assert [event["result"] for event in service.events(action="plugins.reloaded")] == ["ok", "error"]
