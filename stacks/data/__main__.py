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
database = postgres.Postgres("postgres", at("postgres"), this.config.postgres, runtime)
redis.Redis("redis", at("redis"), this.config.redis, runtime)
etcd.Etcd("etcd", at("etcd"), this.config.etcd, runtime)

pulumi.export("postgres_password", database.password)
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
