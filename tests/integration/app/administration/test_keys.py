"""Keys over HTTP: shown once, kept as a hash, ended for good."""

import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from app.auth.directory import KeyDirectory
from app.auth.rows import KeyRows


def test_a_token_is_shown_once_and_only_its_hash_is_kept(service, root):
    made = root.post("/v1/keys", {"name": "app", "scopes": ["read", "issue"]})
    assert made.status_code == 201 and made.headers["Cache-Control"] == "no-store"
    token = made.json["token"]
    assert re.fullmatch(r"plk_[A-Za-z0-9_-]{43}", token) and token.startswith(made.json["prefix"])
    assert len(made.json["prefix"]) == 8 and made.json["scopes"] == ["issue", "read"]
    shown = root.get(made.headers["Location"]).json
    assert shown == {key: value for key, value in made.json.items() if key != "token"}
    for answer in (root.get("/v1/keys"), root.get("/v1/audit")):
        assert token not in answer.text
    with service.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT sha256, api_keys::text FROM api_keys WHERE name = 'app'")
        ).all()
    ((sha256, whole),) = rows
    assert bytes(sha256) == hashlib.sha256(token.encode()).digest() and token not in whole
    assert service.as_(token).get("/v1/tags").status_code == 200


def test_a_revoked_key_is_refused_at_once_and_the_database_tells_other_processes(service, root, refused):
    made = root.post("/v1/keys", {"name": "app", "scopes": ["read"]}).json
    caller = service.as_(made["token"])
    assert caller.get("/v1/tags").status_code == 200
    assert root.delete(f"/v1/keys/{made['id']}").status_code == 204
    refused(caller.get("/v1/tags"), 401, "key-revoked")
    assert KeyRows(service.engine).revoked_within(60) == [hashlib.sha256(made["token"].encode()).digest()]
    first = root.get(f"/v1/keys/{made['id']}").json["revoked_at"]
    assert first is not None
    assert root.delete(f"/v1/keys/{made['id']}").status_code == 204
    assert root.get(f"/v1/keys/{made['id']}").json["revoked_at"] == first
    refused(root.patch(f"/v1/keys/{made['id']}", {"name": "again"}), 409, "not-changeable")
    told = [
        event["action"]
        for event in service.events(target=f"key/{made['id']}")
        if event["action"] != "key.used"
    ]
    assert told == ["key.created", "key.revoked"]


def test_a_key_ends_when_it_expires(service, root, refused):
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = root.post("/v1/keys", {"name": "app", "scopes": ["read"], "expires_at": soon}).json
    assert service.as_(made["token"]).get("/v1/tags").status_code == 200
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    assert "in the future" in refused(
        root.patch(f"/v1/keys/{made['id']}", {"expires_at": past}), 400, "bad-request"
    )
    later = KeyDirectory(KeyRows(service.engine), lambda: 0.0, lambda: datetime.now(UTC).timestamp() + 3_700)
    with pytest.raises(Exception, match="key-expired"):
        later.authenticate(made["token"])


def test_a_keys_scopes_change_while_it_is_in_use(service, root, refused):
    made = root.post("/v1/keys", {"name": "app", "scopes": ["read"]}).json
    caller = service.as_(made["token"])
    assert caller.get("/v1/tags").status_code == 200
    changed = root.patch(f"/v1/keys/{made['id']}", {"scopes": ["issue"], "name": "renamed"})
    assert (changed.json["scopes"], changed.json["name"]) == (["issue"], "renamed")
    refused(caller.get("/v1/tags"), 403, "scope-missing")
    event = service.events(action="key.changed")[-1]["detail"]
    assert event["old"] == {"name": "app", "scopes": ["read"]}
    assert event["new"] == {"name": "renamed", "scopes": ["issue"]}
    assert root.patch(f"/v1/keys/{made['id']}", {}).json == changed.json


def test_an_administrator_without_operate_can_not_give_or_take_part_in_it(service, root, tenant, refused):
    refused(tenant.post("/v1/keys", {"name": "ops", "scopes": ["operate"]}), 403, "scope-missing")
    admin = service.as_(root.post("/v1/keys", {"name": "a", "scopes": ["admin"]}).json["token"])
    ops = root.post("/v1/keys", {"name": "ops", "scopes": ["operate"]}).json
    refused(admin.patch(f"/v1/keys/{ops['id']}", {"name": "x"}), 403, "scope-missing")
    own = admin.post("/v1/keys", {"name": "own", "scopes": ["issue"]}).json
    refused(admin.patch(f"/v1/keys/{own['id']}", {"scopes": ["issue", "operate"]}), 403, "scope-missing")


def test_keys_of_another_workspace_do_not_exist_for_a_caller_but_default_can_make_them(
    service, root, tenant, refused
):
    mine = root.post("/v1/keys", {"name": "mine", "scopes": ["read"]}).json
    for answer in (tenant.get(f"/v1/keys/{mine['id']}"), tenant.delete(f"/v1/keys/{mine['id']}")):
        refused(answer, 404, "not-found")
    assert [key["name"] for key in tenant.get("/v1/keys").json["items"]] == ["first"]
    refused(
        tenant.post("/v1/keys", {"name": "x", "scopes": ["read"], "workspace": "default"}), 404, "not-found"
    )
    refused(root.post("/v1/keys", {"name": "x", "scopes": ["read"], "workspace": "none"}), 404, "not-found")
    lent = root.post("/v1/keys", {"name": "again", "scopes": ["admin"], "workspace": "shop"}).json
    assert len(service.as_(lent["token"]).get("/v1/keys").json["items"]) == 2


@pytest.mark.parametrize(
    "values",
    [
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["read", "read"]},
        {"name": "x", "scopes": ["root"]},
        {"name": "x"},
        {"name": "x y", "scopes": ["read"]},
        {"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "x", "scopes": ["read"], "expires_at": "9999-01-01T00:00:00Z"},
        {"name": "x", "scopes": ["read"], "expires_at": "2027-01-01T00:00:00"},
        {"name": "x", "scopes": ["read"], "token": "plk_mine"},
    ],
)
def test_a_wrong_value_of_a_key_makes_none(root, refused, values):
    refused(root.post("/v1/keys", values), 400, "bad-request")
    assert len(root.get("/v1/keys").json["items"]) == 1


@pytest.mark.parametrize("key_id", ["0", "999999", str(2**63), str(10**30), "x"])
def test_a_key_that_does_not_exist_is_not_found(root, refused, key_id):
    refused(root.get(f"/v1/keys/{key_id}"), 404, "not-found")


def test_the_use_of_a_key_is_one_event_a_minute(service, root):
    made = root.post("/v1/keys", {"name": "app", "scopes": ["read"]}).json
    caller = service.as_(made["token"])
    for _ in range(50):
        assert caller.get("/v1/tags").status_code == 200
    service.audit.close(5)
    used = [event for event in service.events(target=f"key/{made['id']}") if event["action"] == "key.used"]
    assert sum(event["detail"]["requests"] for event in used) == 50 and len(used) <= 2
    assert used[0]["scope"] == "workspace" and used[0]["actor"] == f"key/{made['id']}:app"
