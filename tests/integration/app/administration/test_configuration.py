"""Workspaces, groups and tags over HTTP, on a real Postgres."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from app.storage import segments
from app.storage.tags import TagDirectory

TAG = {"name": "invoices", "algorithm": "segment", "format": "int64", "step": 1_000}


def test_a_workspace_comes_with_its_group_and_its_administrators_key(service, root, refused):
    made = root.post("/v1/workspaces", {"name": "shop", "settings": {"contact": "ops@example.org"}})
    assert made.status_code == 201 and made.headers["Location"] == "/v1/workspaces/shop"
    tenant = service.as_(made.json["key"]["token"])
    assert tenant.get("/v1/workspaces/shop").json["settings"] == {"contact": "ops@example.org"}
    assert [one["name"] for one in tenant.get("/v1/groups").json["items"]] == ["default"]
    assert made.json["key"]["scopes"] == ["admin", "issue", "read"]
    refused(root.post("/v1/workspaces", {"name": "shop"}), 409, "already-exists")
    assert [one["name"] for one in root.get("/v1/workspaces").json["items"]] == ["default", "shop"]


def test_a_workspace_sees_and_changes_nothing_of_another(service, root, tenant, refused):
    assert [one["name"] for one in tenant.get("/v1/workspaces").json["items"]] == ["shop"]
    refused(tenant.get("/v1/workspaces/default"), 404, "not-found")
    refused(tenant.patch("/v1/workspaces/default", {"settings": {}}), 404, "not-found")
    refused(tenant.delete("/v1/workspaces/default"), 404, "not-found")
    refused(tenant.post("/v1/workspaces", {"name": "mine"}), 403, "scope-missing")
    refused(tenant.delete("/v1/workspaces/shop"), 403, "scope-missing")
    assert tenant.get("/v1/tags").json == {"items": [], "next": None}
    refused(tenant.get("/v1/tags/orders"), 404, "unknown-tag")
    assert tenant.post("/v1/tags", {"name": "orders"}).status_code == 201, "a name is taken per workspace"
    root.post("/v1/groups", {"name": "theirs"})
    refused(tenant.post("/v1/tags", {"name": "x", "group": "theirs"}), 400, "bad-request")
    everything = [event["target"] for event in service.events(tenant)]
    assert everything == ["tag/orders"]


def test_a_workspaces_settings_change_and_the_services_own_stay(service, root, tenant):
    tenant.post("/v1/tags", {"name": "old", "algorithm": "snowflake"})
    assert tenant.delete("/v1/tags/old").status_code == 204
    changed = tenant.patch("/v1/workspaces/shop", {"settings": {"a": [1, {"b": None}]}})
    assert changed.json["settings"] == {"a": [1, {"b": None}]}
    with service.engine.connect() as connection:
        kept = connection.execute(text("SELECT settings FROM workspaces WHERE name = 'shop'")).scalar_one()
    assert kept == {
        "a": [1, {"b": None}],
        "_retired_tags": {"old": {"algorithm": "snowflake", "sequence_bits": 11}},
    }
    event = service.events(tenant, action="workspace.changed")[-1]
    assert event["detail"] == {"old": {}, "new": {"a": [1, {"b": None}]}}


def test_a_workspace_goes_when_it_is_empty_and_its_keys_end(service, root, tenant, refused):
    tenant.post("/v1/groups", {"name": "billing"})
    tenant.post("/v1/tags", {"name": "x", "group": "billing", "algorithm": "uuid7"})
    assert "1 tags" in refused(root.delete("/v1/workspaces/shop"), 409, "not-empty")
    tenant.delete("/v1/tags/x")
    assert "1 groups" in refused(root.delete("/v1/workspaces/shop"), 409, "not-empty")
    tenant.delete("/v1/groups/billing")
    tenant.post("/v1/snapshots", {"name": "before"})
    assert root.delete("/v1/workspaces/shop").status_code == 204
    refused(tenant.get("/v1/groups"), 401, "key-revoked")
    refused(root.delete("/v1/workspaces/default"), 409, "not-empty")
    refused(root.delete("/v1/workspaces/shop"), 404, "not-found")


def test_groups_are_made_changed_and_removed(service, root, refused):
    made = root.post("/v1/groups", {"name": "billing", "settings": {"owner": "a"}})
    assert made.status_code == 201 and root.get(made.headers["Location"]).json == made.json
    refused(root.post("/v1/groups", {"name": "billing"}), 409, "already-exists")
    assert root.patch("/v1/groups/billing", {"settings": {"owner": "b"}}).json["settings"] == {"owner": "b"}
    root.post("/v1/tags", {**TAG, "group": "billing"})
    assert "1 tags" in refused(root.delete("/v1/groups/billing"), 409, "not-empty")
    assert root.patch("/v1/tags/invoices", {"group": "default"}).json["group"] == "default"
    assert root.delete("/v1/groups/billing").status_code == 204
    refused(root.get("/v1/groups/billing"), 404, "not-found")
    refused(root.delete("/v1/groups/default"), 409, "not-empty")
    told = [event["action"] for event in service.events(target="group/billing")]
    assert told == ["group.created", "group.changed", "group.removed"]


def test_a_tag_is_made_found_by_the_issuing_side_and_told(service, root, refused):
    made = root.post("/v1/tags", TAG)
    assert made.status_code == 201 and made.headers["Location"] == "/v1/tags/invoices"
    assert made.headers["ETag"] == '"1"'
    assert made.json["config"]["step"] == 1_000 and made.json["config"]["enabled"] is True
    assert root.get("/v1/tags/invoices").json == made.json
    assert service.changed == [("default", "default", "invoices")]
    tag = TagDirectory(service.engine, lambda: 0.0).find(1, "invoices")
    assert (tag.group, tag.config.format, tag.config.step) == ("default", "int64", 1_000)
    refused(root.post("/v1/tags", TAG), 409, "already-exists")
    (event,) = service.events(target="tag/invoices")
    assert event["action"] == "tag.created" and event["detail"]["new"]["step"] == 1_000
    assert event["request_id"] == made.headers["X-Request-Id"]
    assert event["trace_id"] == made.headers["traceparent"].split("-")[1]
    assert event["actor"].endswith(":bootstrap")


def test_a_patch_changes_what_it_names_only_and_says_old_and_new(service, root):
    root.post("/v1/tags", {**TAG, "max_id": 5_000, "enabled": False})
    service.changed.clear()
    changed = root.patch("/v1/tags/invoices", {"step": 10, "max_id": None})
    assert changed.status_code == 200 and changed.headers["ETag"] == '"2"'
    config = changed.json["config"]
    assert (config["step"], config["max_id"], config["enabled"], config["format"]) == (
        10,
        None,
        False,
        "int64",
    )
    assert service.changed == [("default", "default", "invoices")]
    event = service.events(action="tag.changed")[-1]["detail"]
    assert (event["old"]["step"], event["new"]["step"], event["new"]["version"]) == (1_000, 10, 2)
    again = root.patch("/v1/tags/invoices", {"step": 10})
    assert again.headers["ETag"] == '"2"', "what changes nothing makes no version"


def test_of_two_changes_made_from_the_same_version_one_is_refused(root, refused):
    root.post("/v1/tags", TAG)
    seen = {"If-Match": root.get("/v1/tags/invoices").headers["ETag"]}
    assert root.patch("/v1/tags/invoices", {"step": 10}, headers=seen).status_code == 200
    detail = refused(root.patch("/v1/tags/invoices", {"step": 20}, headers=seen), 412, "precondition-failed")
    assert "version is now 2" in detail
    refused(root.delete("/v1/tags/invoices", headers=seen), 412, "precondition-failed")
    for wrong in ('W/"2"', "", "2x", '"1", "3"'):
        refused(root.patch("/v1/tags/invoices", {"step": 20}, headers={"If-Match": wrong}), 412,
                "precondition-failed")  # fmt: skip
    for right in ('"2"', '"1", "2"'):
        assert root.get("/v1/tags/invoices").headers["ETag"] == '"2"'
        assert root.patch("/v1/tags/invoices", {"step": 10}, headers={"If-Match": right}).status_code == 200
    assert root.patch("/v1/tags/invoices", {"step": 30}, headers={"If-Match": "*"}).status_code == 200


def test_of_many_changes_at_once_from_the_same_version_exactly_one_wins(service, root):
    root.post("/v1/tags", TAG)
    seen = {"If-Match": '"1"'}

    def change(step: int) -> int:
        return service.as_().patch("/v1/tags/invoices", {"step": step}, headers=seen).status_code

    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with ThreadPoolExecutor(4) as pool, service.engine.connect() as holder:
        # Someone else holds the row until all four have begun.
        holder.execute(text("SELECT id FROM biz_tags WHERE name = 'invoices' FOR UPDATE"))
        answers = [pool.submit(change, step) for step in range(1, 5)]
        deadline = time.monotonic() + 4
        with service.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as look:
            while look.execute(waiting).scalar_one() < 4 and time.monotonic() < deadline:
                time.sleep(0.02)
        holder.commit()
    assert sorted(answer.result() for answer in answers) == [200, 412, 412, 412]
    assert root.get("/v1/tags/invoices").headers["ETag"] == '"2"'


@pytest.mark.parametrize(
    ("patch", "because"),
    [
        ({"sequence_bits": 10}, "sequence_bits: 10 is not allowed; allowed: 11"),
        ({"algorithm": "dated"}, "a plugin may issue what this tag has issued"),
    ],
)
def test_a_change_that_could_repeat_ids_is_refused_and_told(service, root, refused, patch, because):
    service.known.add("dated")
    root.post("/v1/tags", {"name": "t", "algorithm": "snowflake"})
    assert because in refused(root.patch("/v1/tags/t", patch), 409, "repeats-ids")
    assert root.get("/v1/tags/t").headers["ETag"] == '"1"'
    event = service.events(target="tag/t")[-1]
    assert event["result"] == "refused" and because in event["detail"]["because"]


def test_a_tag_made_again_under_a_removed_ones_name_repeats_nothing(service, root, refused):
    service.known.add("dated")
    root.post("/v1/tags", {"name": "t", "algorithm": "snowflake", "sequence_bits": 10})
    assert root.delete("/v1/tags/t").status_code == 204
    assert service.changed[-1] == ("default", "default", "t")
    refused(root.post("/v1/tags", {"name": "t", "algorithm": "snowflake"}), 409, "repeats-ids")
    refused(
        root.post("/v1/tags", {"name": "t", "algorithm": "dated", "sequence_bits": 10}), 409, "repeats-ids"
    )
    assert root.post("/v1/tags", {"name": "t", "algorithm": "uuid7", "sequence_bits": 10}).status_code == 201


def test_a_tag_that_handed_out_a_segment_can_be_disabled_but_not_removed(service, root, refused):
    root.post("/v1/tags", TAG)
    tag = TagDirectory(service.engine, lambda: 0.0).find(1, "invoices")
    taken = segments.allocate(service.engine, tag, 0, 100, holder="test")
    refused(root.delete("/v1/tags/invoices"), 409, "tag-used")
    assert root.patch("/v1/tags/invoices", {"enabled": False}).status_code == 200
    # There and back again: the position stays.
    assert root.patch("/v1/tags/invoices", {"algorithm": "snowflake"}).status_code == 200
    assert root.patch("/v1/tags/invoices", {"algorithm": "segment", "enabled": True}).status_code == 200
    assert segments.allocate(service.engine, tag, 0, 100, holder="test").start >= taken.stop


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"name": "a b"}, "name: 'a b'"),
        ({"name": "a" * 65}, "name: "),
        ({"name": "a\n"}, "name: "),
        ({"name": ""}, "name: ''"),
        ({}, "name: missing"),
        ({"name": "a", "step": 0}, "step: 0"),
        ({"name": "a", "step": 10**9}, "step: 1000000000"),
        ({"name": "a", "step": "10"}, "step: '10'"),
        ({"name": "a", "max_count": 100_001}, "max_count: 100001"),
        ({"name": "a", "sequence_bits": 12}, "sequence_bits: 12"),
        ({"name": "a", "algorithm": "dated"}, "algorithm: 'dated'"),
        ({"name": "a", "algorithm": "uuid7", "format": "int64"}, "uuid7 is not allowed with format int64"),
        ({"name": "a", "group": "nowhere"}, "group: 'nowhere'"),
        ({"name": "a", "stepp": 1}, "stepp: unknown"),
    ],
)  # fmt: skip
def test_a_wrong_value_of_a_tag_is_named_and_nothing_is_made(service, root, refused, values, named):
    assert named in refused(root.post("/v1/tags", values), 400, "bad-request")
    assert {tag["name"] for tag in root.get("/v1/tags").json["items"]} == {"orders", "events", "smoke"}
    assert service.changed == []


@pytest.mark.parametrize(
    "settings",
    [
        {"_retired_tags": {}},
        {"a b": 1},
        {f"k{i}": i for i in range(65)},
        {"k": "x" * 17_000},
        {"k": 10**400},
        [],
    ],
)
def test_settings_have_bounds(root, refused, settings):
    refused(root.post("/v1/groups", {"name": "g", "settings": settings}), 400, "bad-request")


def test_a_page_goes_on_where_the_one_before_ended(root, refused):
    for number in range(7):
        root.post("/v1/groups", {"name": f"g{number}"})
    names, cursor = [], None
    for _ in range(3):
        page = root.get("/v1/groups", query={"limit": 3, **({"cursor": cursor} if cursor else {})}).json
        names += [one["name"] for one in page["items"]]
        cursor = page["next"]
        root.post("/v1/groups", {"name": f"during-{len(names)}"})
    assert names[:8] == ["default", *(f"g{number}" for number in range(7))] and len(set(names)) == len(names)
    tags_cursor = root.get("/v1/tags", query={"limit": 1}).json["next"]
    for wrong in ("x", "é", "W10", tags_cursor, "WyJncm91cHMiLC0xXQ"):
        refused(root.get("/v1/groups", query={"cursor": wrong}), 400, "bad-request")
    for limit in (0, 501, "x"):
        refused(root.get("/v1/groups", query={"limit": limit}), 400, "bad-request")


def test_tags_of_one_group_are_listed(root):
    root.post("/v1/groups", {"name": "billing"})
    root.post("/v1/tags", {**TAG, "group": "billing"})
    assert [one["name"] for one in root.get("/v1/tags", query={"group": "billing"}).json["items"]] == [
        "invoices"
    ]


@pytest.mark.parametrize(
    "path", ["/v1/groups/none", "/v1/workspaces/none", "/v1/snapshots/none", "/v1/groups/a%20b"]
)
def test_what_does_not_exist_is_not_found(root, refused, path):
    refused(root.get(path), 404, "not-found")
    refused(root.delete(path), 404, "not-found")


def test_without_the_scope_nothing_is_changed(service, root, refused):
    token = root.post("/v1/keys", {"name": "reader", "scopes": ["read"]}).json["token"]
    reader = service.as_(token)
    assert reader.get("/v1/tags").status_code == 200
    refused(reader.post("/v1/tags", TAG), 403, "scope-missing")
    refused(reader.patch("/v1/tags/orders", {"step": 1}), 403, "scope-missing")
    refused(reader.delete("/v1/tags/orders"), 403, "scope-missing")
    refused(service.as_(None).get("/v1/tags"), 401, "key-missing")
