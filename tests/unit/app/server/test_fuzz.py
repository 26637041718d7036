"""Requests made up from the service's own OpenAPI, valid and not: no 5xx, no undocumented answer."""

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode

from .conftest import World

schema = schemathesis.openapi.from_wsgi("/openapi.json", World().app)
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@schema.auth()
class WithAKey:
    """As a client with every scope; schemathesis also tries without and with wrong ones."""

    def get(self, case, context):
        return "good"

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@schema.parametrize()
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_a_documented_one_and_no_mistake_of_ours(case):
    case.call_and_validate()
