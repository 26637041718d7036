"""Plugins are exchanged while the service runs, and a broken one changes nothing."""

import shutil
import sys

import pytest

from app.plugins.registry import Registry, UnknownPluginError
from app.tag_config import TagConfig

CONFIG = TagConfig.model_validate({"algorithm": "counting"})


@pytest.fixture
def told():
    return {"reloaded": [], "changed": [], "events": []}


@pytest.fixture
def registry(context, told):
    return Registry(
        ("segment", "snowflake", "uuid7", "uuid4"),
        context,
        reloaded=lambda outcome, seconds: told["reloaded"].append((outcome, seconds >= 0)),
        changed=lambda names: told["changed"].append(set(names)),
        record=lambda action, target, result, **more: told["events"].append((action, result, more["detail"])),
    )


@pytest.fixture
def made_by(context):
    """made_by(registry): the version of the plugin's code that is in use."""
    return lambda registry: registry.factory("counting")(CONFIG, context).made_by


def test_a_plugin_that_appears_is_used_after_a_reload(registry, site, made_by, told):
    assert registry.reload().outcome == "ok"
    assert "counting" not in registry
    with pytest.raises(UnknownPluginError, match="'counting' is not active; active: none"):
        registry.factory("counting")
    site("1.0")
    done = registry.reload("key:ops")
    assert (done.outcome, done.changed, done.removed, done.errors) == ("ok", ("counting",), (), ())
    assert "counting" in registry and made_by(registry) == "1.0"
    (status,) = registry.statuses()
    assert (status.name, status.distribution, status.version, status.state) == (
        "counting", "acme-ids", "1.0", "active",
    )  # fmt: skip
    assert told["changed"] == [{"counting"}] and told["reloaded"] == [("ok", True)] * 2
    assert [event[:2] for event in told["events"]] == [("plugins.reloaded", "ok")]


def test_a_changed_plugin_is_exchanged_and_what_the_old_one_made_goes_on(registry, site, made_by, context):
    site("1.0")
    registry.reload()
    old = registry.factory("counting")(CONFIG, context)
    # In the same second and of the same size: neither time nor length tells them apart.
    site("2.0")
    assert registry.reload().changed == ("counting",)
    assert made_by(registry) == "2.0"
    assert (old.made_by, old.late(), len(old.batch(10))) == ("1.0", "1.0", 10)


def test_a_failed_reload_is_counted_and_audited(registry, site, told):
    site("1.0", source="raise ValueError")
    registry.reload()
    assert told["reloaded"] == [("error", True)] and told["events"][-1][:2] == ("plugins.reloaded", "error")


def test_an_unchanged_plugin_is_left_alone(registry, site, told):
    site("1.0")
    registry.reload()
    factory = registry.factory("counting")
    assert registry.reload().changed == ()
    assert registry.factory("counting") is factory and len(told["changed"]) == 1


@pytest.mark.parametrize(
    ("source", "because"),
    [
        ("def Counting(:", "SyntaxError"),
        ("raise RuntimeError('at import')", "at import"),
        ("raise SystemExit(3)", "SystemExit"),
        ("import not_there_at_all", "not_there_at_all"),
        ("Counting = 3", "can't be called"),
        ("def Counting(config, context): raise ValueError('no')", "ValueError: no"),
        ("def Counting(config, context): return object()", "AttributeError"),
        ("other = 1", "AttributeError"),
    ],
)
def test_a_broken_new_version_leaves_the_old_one_in_use(registry, site, made_by, source, because):
    site("1.0")
    registry.reload()
    module = sys.modules["acme_ids"]
    site("2.0", source=source)
    done = registry.reload()
    assert done.outcome == "error" and because in done.errors[0]
    assert made_by(registry) == "1.0" and sys.modules["acme_ids"] is module
    (status,) = registry.statuses()
    assert (status.state, status.version) == ("outdated", "1.0") and because in status.error
    site("3.0")
    assert registry.reload().outcome == "ok"
    assert made_by(registry) == "3.0" and registry.statuses()[0].state == "active"


@pytest.mark.parametrize(
    ("old", "new", "because"),
    [
        ('kind = "int64"', 'kind = "text"', "kind: 'text' is not allowed"),
        ("return Health(True)", "return True", "allowed: a Health"),
        ("return Id(next(self._next))", "return 1", "allowed: Id and Batch"),
        ("return Id(next(self._next))", "return Id(7)", "100 distinct IDs where 101 were asked for"),
        ("return Id(next(self._next))", "return Id(-1)", "is not an ID of kind int64"),
        ("return Id(next(self._next))", "return Id(1, 'uuid')", "is not an ID of kind int64"),
        ("for _ in range(count)", "for _ in range(count - 1)", "100 distinct IDs"),
    ],
)
def test_a_plugin_is_tried_before_it_is_used(registry, site, old, new, because):
    site("1.0", source=site.source.replace(old, new))
    done = registry.reload()
    assert done.outcome == "error" and because in done.errors[0]
    assert "counting" not in registry and registry.statuses()[0].state == "broken"


@pytest.mark.parametrize("name", ["snowflake", "Upper", "with-dash", "a" * 33])
def test_names_that_are_built_in_or_malformed_are_refused(registry, site, name):
    site("1.0", entries={name: "acme_ids:Counting"})
    assert "is not allowed" in registry.reload().errors[0]
    assert name not in registry


@pytest.mark.parametrize("target", ["app.ids.snowflake:Snowflake", "json:loads", "elsewhere:Counting"])
def test_a_plugin_can_not_replace_modules_that_are_not_its_own(registry, site, target):
    import json

    site("1.0", entries={"counting": target})
    assert registry.reload().outcome == "error"
    assert sys.modules["json"] is json and "app.ids.model" in sys.modules


def test_a_name_stays_with_the_distribution_that_has_it(registry, site, made_by):
    site("1.0")
    registry.reload()
    site("9.0", distribution="aaa-other", module="other_ids")
    done = registry.reload()
    assert "is taken by acme-ids" in done.errors[0] and made_by(registry) == "1.0"
    assert sorted(status.state for status in registry.statuses()) == ["active", "broken"]


def test_one_broken_distribution_does_not_hold_up_another(registry, site, made_by):
    site(
        "1.0",
        distribution="other-ids",
        module="other_ids",
        source="raise ValueError",
        entries={"x": "other_ids:X"},
    )
    site("1.0")
    assert registry.reload().outcome == "error"
    assert made_by(registry) == "1.0" and "x" not in registry


def test_a_removed_distribution_is_no_longer_offered(registry, site, told):
    site("1.0")
    registry.reload()
    shutil.rmtree(site.directory / "acme_ids-1.0.dist-info")
    assert registry.reload().removed == ("counting",)
    assert "counting" not in registry and registry.statuses() == () and told["changed"][-1] == {"counting"}


def test_a_change_deep_in_a_package_counts_and_its_modules_are_exchanged_together(registry, site, made_by):
    files = {"__init__.py": "", "naming.py": "NAME = '{version}'\n"}
    files["main.py"] = site.source.replace('NAME = "{version}"', "from acme_deep.naming import NAME")
    entries = {"counting": "acme_deep.main:Counting"}
    site("1.0", module="acme_deep", package=files, entries=entries)
    registry.reload()
    assert made_by(registry) == "1.0"
    (site.directory / "acme_deep" / "naming.py").write_text("NAME = 'new'\n")
    assert registry.reload().changed == ("counting",)
    assert made_by(registry) == "new"
