"""The service from its bundle, fuzzed from its own OpenAPI with a real key, over real stores."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from .conftest import AUTHORIZATION

pytestmark = pytest.mark.integration

# Left out is one check, that whatever fits the schema is accepted: no schema can tell which cursor an earlier
# page gave, and text with NUL is refused everywhere, since Postgres can't hold it.
EXAMPLES = 8
"""Of each operation and mode; about 40 operations have to fit into a minute."""


def test_no_5xx_and_no_answer_that_is_not_documented(install):
    host = install()
    host.start()
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{host.port}/openapi.json")
    schema.auth()(WithAKey)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 20
    # What removes goes last: the fuzzer may well remove its own key.
    operations.sort(key=lambda operation: operation.method.upper() == "DELETE")
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    found = [error for operation in operations for mode in modes if (error := fuzz(operation, mode))]
    assert host.call("GET", "/healthz")[0] == 200
    if found:
        raise ExceptionGroup("what the documentation doesn't say", found)


class WithAKey:
    """As a client with every scope; schemathesis also tries without and with wrong ones."""

    def get(self, case, context):
        return AUTHORIZATION["Authorization"]

    def set(self, case, data, context):
        case.headers["Authorization"] = data


def fuzz(operation, mode):
    """What is wrong with an operation; None when nothing is."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def run(case):
        case.call_and_validate(timeout=10, excluded_checks=[CHECKS.get_one("positive_data_acceptance")])

    try:
        run()
    except Unsatisfiable:
        return None  # nothing about this operation can be wrong
    except Exception as error:
        error.add_note(f"{operation.method.upper()} {operation.path}, {mode.value} data")
        return error
    return None
