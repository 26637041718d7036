"""A Flask request's log context and its span."""

from flask import Flask, Response, g, request

from app.observing import context, tracing
from app.observing.tracing import Tracing
from app.server import request_context


def install(app: Flask, traces: Tracing | None) -> None:
    """Call it before anything else adds to `app`, so that refused requests are seen, too."""

    @app.before_request
    def begin() -> None:
        environ = request.environ
        known = request_context.of(environ)
        if traces is not None:
            rule = request.url_rule.rule if request.url_rule else None
            span = traces.begin(
                f"{request.method} {rule}" if rule else request.method,
                environ.get("HTTP_TRACEPARENT"),
                known.trace_id,
                _attributes(rule, known.request_id),
            )
            if span is not None:
                known = request_context.put(environ, known._replace(span_id=span.span_id, flags="01"))
                g.request_span = span.__enter__()
        g.log_context = context.begin(known)

    @app.after_request
    def answered(response: Response) -> Response:
        span: tracing.Span | None = g.get("request_span")
        if span is not None:
            span.set("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                span.failed(str(response.status_code))
        return response

    @app.teardown_request
    def end(error: BaseException | None) -> None:
        if (span := g.pop("request_span", None)) is not None:
            span.__exit__(None, None, None)
        if (token := g.pop("log_context", None)) is not None:
            context.end(token)


def _attributes(rule: str | None, request_id: str) -> dict[str, tracing.Value]:
    environ = request.environ
    found: dict[str, tracing.Value] = {
        "http.request.method": request.method,
        "url.path": request.path,
        "url.scheme": environ.get("HTTP_X_FORWARDED_PROTO", request.scheme),
        "plumbline.request_id": request_id,
    }
    if rule:
        found["http.route"] = rule
    if agent := environ.get("HTTP_USER_AGENT"):
        found["user_agent.original"] = agent
    if client := environ.get("HTTP_X_FORWARDED_FOR", environ.get("REMOTE_ADDR")):
        found["client.address"] = client
    return found
