"""An answer with headers of its own: where a new thing is, which version it has."""

from collections.abc import Mapping
from http import HTTPStatus

from flask import Response
from pydantic import BaseModel

from app.server.operation import JSON


def with_headers(model: BaseModel, headers: Mapping[str, str], status: int = HTTPStatus.OK) -> Response:
    """The model as JSON."""
    return Response(model.model_dump_json(), status, dict(headers), content_type=JSON)
