"""The services that keep data: Postgres, Redis, etcd."""

import sys
from pathlib import Path

import pulumi

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra import inventory, layer
from infra.components import etcd, postgres, redis
from infra.config import DataConfig

this = layer.current("data", DataConfig)
runtime = this.runtime(this.foundation.get_output("network"))
at = this.addresses.service
password = pulumi.Config().require_secret("postgres_password")
postgres.Postgres(
    "postgres", address=at("postgres"), password=password, settings=this.config.postgres, runtime=runtime
)
redis.Redis("redis", address=at("redis"), settings=this.config.redis, runtime=runtime)
etcd.Etcd("etcd", address=at("etcd"), settings=this.config.etcd, runtime=runtime)

pulumi.export("postgres_password", password)
pulumi.export("api_key", pulumi.Config().require_secret("api_key"))
this.export_inventory(
    endpoints=inventory.Endpoints(
        postgres=inventory.PostgresEndpoint(
            host=at("postgres"),
            port=postgres.PORT,
            database=this.config.postgres.database,
            user=this.config.postgres.user,
        ),
        redis=inventory.Endpoint(host=at("redis"), port=redis.PORT),
        etcd=inventory.Endpoint(host=at("etcd"), port=etcd.PORT),
    )
)
