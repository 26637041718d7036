"""Snapshots: all of a workspace's groups and tags, or nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from app.storage import segments
from app.storage.tags import TagDirectory


@pytest.fixture
def shop(tenant):
    """A workspace with two groups and two tags, and a snapshot `before` of them."""
    tenant.post("/v1/groups", {"name": "billing", "settings": {"owner": "a"}})
    tenant.post("/v1/tags", {"name": "invoices", "group": "billing", "step": 1_000})
    tenant.post("/v1/tags", {"name": "events", "algorithm": "snowflake"})
    made = tenant.post("/v1/snapshots", {"name": "before"})
    assert made.status_code == 201 and (made.json["groups"], made.json["tags"]) == (2, 2)
    return tenant


def configuration(caller) -> tuple:
    groups = {one["name"]: one["settings"] for one in caller.get("/v1/groups").json["items"]}
    tags = {one["name"]: (one["group"], one["config"]) for one in caller.get("/v1/tags").json["items"]}
    return groups, tags


def disturb(caller) -> None:
    """Change, add and remove something of each kind."""
    assert caller.patch("/v1/tags/invoices", {"step": 7, "group": "default"}).status_code == 200
    assert caller.delete("/v1/tags/events").status_code == 204
    assert caller.delete("/v1/groups/billing").status_code == 204
    assert caller.post("/v1/tags", {"name": "newer"}).status_code == 201


def test_restoring_brings_back_what_was_and_keeps_what_is_new(service, shop):
    was = configuration(shop)
    disturb(shop)
    newer = configuration(shop)[1]["newer"]
    service.changed.clear()
    restored = shop.post("/v1/snapshots/before:restore")
    assert restored.status_code == 200, restored.text
    groups, tags = configuration(shop)
    assert groups == was[0] and tags == {**was[1], "newer": newer}
    assert [(c["kind"], c["name"], c["change"]) for c in restored.json["changes"]] == [
        ("group", "billing", "added"), ("tag", "events", "added"), ("tag", "invoices", "changed"),
    ]  # fmt: skip
    assert set(service.changed) == {
        ("shop", "default", "events"), ("shop", "default", "invoices"), ("shop", "billing", "invoices"),
    }  # fmt: skip
    told = {
        (e["action"], e["target"]): e["detail"] for e in service.events(shop) if "restored" in e["action"]
    }
    assert told["snapshot.restored", "snapshot/before"]["changes"] == 3
    assert told["tag.restored", "tag/invoices"]["old"]["config"]["step"] == 7
    assert told["tag.restored", "tag/invoices"]["new"]["config"]["step"] == 1_000
    assert shop.post("/v1/snapshots/before:restore").json["changes"] == []
    assert service.counted == [("create", "ok"), ("restore", "ok"), ("restore", "ok")]


def test_a_diff_and_a_dry_run_say_the_same_and_change_nothing(service, shop):
    assert shop.get("/v1/snapshots/before:diff").json == {"changes": []}
    disturb(shop)
    is_now, version = configuration(shop), shop.get("/v1/tags/invoices").headers["ETag"]
    diff = shop.get("/v1/snapshots/before:diff").json["changes"]
    dry = shop.post("/v1/snapshots/before:restore", {"dry_run": True}).json
    assert dry["dry_run"] is True and dry["changes"] == [one for one in diff if one["change"] != "extra"]
    assert [one["name"] for one in diff if one["change"] == "extra"] == ["newer"]
    assert configuration(shop) == is_now and shop.get("/v1/tags/invoices").headers["ETag"] == version


def test_tags_that_the_snapshot_lacks_may_be_disabled(service, shop):
    disturb(shop)
    shop.post("/v1/snapshots/before:restore", {"extra_tags": "disable"})
    assert shop.get("/v1/tags/newer").json["config"]["enabled"] is False
    assert shop.get("/v1/tags/invoices").json["config"]["enabled"] is True


def test_restoring_never_takes_a_segments_position_back(service, shop):
    tags = TagDirectory(service.engine, lambda: 0.0)
    workspace = next(tag.workspace_id for tag in tags.load() if tag.name == "invoices")
    tag = tags.find(workspace, "invoices")
    last = [segments.allocate(service.engine, tag, 0, 10, holder="t") for _ in range(3)][-1]
    shop.patch("/v1/tags/invoices", {"step": 5})
    assert shop.post("/v1/snapshots/before:restore").status_code == 200
    assert segments.allocate(service.engine, tag, 0, 10, holder="t").start >= last.stop


def test_what_could_repeat_ids_is_refused_as_a_whole(service, shop, refused):
    shop.delete("/v1/tags/events")
    shop.post("/v1/tags", {"name": "other", "algorithm": "snowflake"})
    with service.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE snapshots "
                "SET content = jsonb_set(content, '{tags,events,config,sequence_bits}', '10')"
            )
        )
    shop.patch("/v1/tags/invoices", {"step": 5})
    is_now = configuration(shop)
    for how in ({}, {"dry_run": True}):
        detail = refused(shop.post("/v1/snapshots/before:restore", how), 409, "repeats-ids")
        assert "tag events: sequence_bits: 10 is not allowed; allowed: 11" in detail
    assert configuration(shop) == is_now
    assert service.counted[-1] == ("restore", "refused")
    assert service.events(shop, action="snapshot.restored")[-1]["result"] == "refused"


def test_a_tag_whose_plugin_is_gone_is_not_restored(service, shop, refused):
    service.known.add("dated")
    shop.post("/v1/tags", {"name": "days", "algorithm": "dated"})
    shop.post("/v1/snapshots", {"name": "with-plugin"})
    shop.delete("/v1/tags/days")
    service.known.clear()
    detail = refused(shop.post("/v1/snapshots/with-plugin:restore"), 409, "not-restorable")
    assert "tag days: algorithm: 'dated' is not allowed" in detail
    service.known.add("dated")
    assert shop.post("/v1/snapshots/with-plugin:restore").status_code == 200


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("content = content #- '{groups,billing}'", "its group 'billing' is not in the snapshot"),
        ("content = jsonb_set(content, '{format}', '2')", "format: "),
        ("content = jsonb_set(content, '{tags,events,config,colour}', '1')", "tags.events.config.colour"),
    ],
)
def test_a_snapshot_that_this_version_does_not_understand_changes_nothing(
    service, shop, refused, statement, named
):
    disturb(shop)
    with service.engine.begin() as connection:
        connection.execute(text(f"UPDATE snapshots SET {statement}"))
    is_now = configuration(shop)
    assert named in refused(shop.post("/v1/snapshots/before:restore"), 409, "not-restorable")
    assert configuration(shop) == is_now


def test_a_failure_in_the_middle_changes_nothing(service, shop):
    disturb(shop)
    is_now = configuration(shop)
    with service.engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "RAISE EXCEPTION 'as asked'; END $$; CREATE TRIGGER fail BEFORE UPDATE ON biz_tags "
                "FOR EACH ROW EXECUTE FUNCTION fail()"
            )
        )
    assert shop.post("/v1/snapshots/before:restore").status_code == 500
    assert configuration(shop) == is_now and service.counted[-1] == ("restore", "error")


def test_snapshots_are_listed_read_and_removed_in_their_workspace_only(service, root, shop, refused):
    listed = shop.get("/v1/snapshots").json["items"]
    assert [(one["name"], one["created_by"].split(":")[1]) for one in listed] == [("before", "first")]
    whole = shop.get("/v1/snapshots/before").json
    assert set(whole["content"]["tags"]) == {"events", "invoices"}
    assert "plk_" not in str(whole) and "next_id" not in str(whole)
    refused(shop.post("/v1/snapshots", {"name": "before"}), 409, "already-exists")
    refused(root.get("/v1/snapshots/before"), 404, "not-found")
    refused(root.post("/v1/snapshots/before:restore"), 404, "not-found")
    assert shop.delete("/v1/snapshots/before").status_code == 204
    refused(shop.get("/v1/snapshots/before"), 404, "not-found")


def test_cleaning_up_keeps_the_newest_and_the_young(service, root, shop, refused):
    root.post("/v1/snapshots", {"name": "of-another-workspace"})
    for number in range(5):
        shop.post("/v1/snapshots", {"name": f"s{number}"})
    old = datetime.now(UTC) - timedelta(days=10)
    with service.engine.begin() as connection:
        connection.execute(
            text("UPDATE snapshots SET created_at = :old WHERE name IN ('before', 's0', 's3', 's4')"),
            {"old": old},
        )

    def clean(**how) -> list[str]:
        return shop.post("/v1/snapshots:cleanup", how).json["removed"]

    assert clean(keep_newest=2, older_than_days=7, dry_run=True) == ["before", "s0"]
    assert len(shop.get("/v1/snapshots").json["items"]) == 6
    assert clean(keep_newest=2, older_than_days=7) == ["before", "s0"]
    assert clean(older_than_days=11) == []
    assert clean(older_than_days=9.5) == ["s3", "s4"]
    assert clean(keep_newest=1) == ["s1"]
    assert clean(keep_newest=0) == ["s2"]
    assert len(root.get("/v1/snapshots").json["items"]) == 1
    assert service.counted[-1] == ("cleanup", "ok")
    refused(shop.post("/v1/snapshots:cleanup", {}), 400, "bad-request")
    refused(shop.post("/v1/snapshots:cleanup", {"keep_newest": -1}), 400, "bad-request")


def test_the_number_of_snapshots_has_a_bound(service, shop, refused):
    with service.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO snapshots (workspace_id, name, content, created_by) "
                "SELECT workspace_id, 'n' || i, '{}', 'x' FROM snapshots, generate_series(1, 999) i"
            )
        )
    assert "clean up first" in refused(shop.post("/v1/snapshots", {"name": "more"}), 409, "too-many")
