"""Spans around statements to Postgres and commands to Redis. Both cost a look at the context when nothing is
traced."""

from typing import Any

from sqlalchemy import Engine, event

from app.observing.tracing import Nothing, Span, client_span

_KEPT = "plumbline_span"


def trace_postgres(engine: Engine) -> None:
    """Have a span for each statement of the engine. Values are not shown: the text has placeholders."""
    url = engine.url
    constant: dict[str, str | int] = {"db.system.name": "postgresql", "db.namespace": url.database or ""}
    if url.host:
        constant |= {"server.address": url.host, "server.port": url.port or 5432}

    def begin(_connection: Any, _cursor: Any, statement: str, _values: Any, *rest: Any) -> None:
        context = rest[0]
        operation = statement.split(None, 1)[0].upper() if statement.strip() else "UNKNOWN"
        span = client_span(
            f"{operation} {url.database}",
            {**constant, "db.operation.name": operation, "db.query.text": statement},
        )
        if context is not None and isinstance(span, Span):
            setattr(context, _KEPT, span)

    def end(*arguments: Any) -> None:
        if (span := getattr(arguments[4], _KEPT, None)) is not None:
            span.end()

    def failed(error: Any) -> None:
        if (span := getattr(error.execution_context, _KEPT, None)) is not None:
            original = error.original_exception
            if state := getattr(original, "sqlstate", None):
                span.set("db.response.status_code", state)
            span.failed(state or type(original).__qualname__)
            span.end()

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    event.listen(engine, "handle_error", failed)


def trace_redis(client: Any) -> Any:
    """Have a span for each command of a redis-py client of any mode, and for each pipeline. Returns it."""
    known = getattr(getattr(client, "connection_pool", None), "connection_kwargs", {})
    constant: dict[str, str | int] = {"db.system.name": "redis"}
    if known.get("host"):
        constant |= {"server.address": known["host"], "server.port": known.get("port", 6379)}
    execute, pipeline = client.execute_command, client.pipeline

    def spanned(command: str, shown: str) -> Span | Nothing:
        return client_span(command, {**constant, "db.operation.name": command, "db.query.text": shown})

    def traced(*arguments: Any, **options: Any) -> Any:
        with spanned(str(arguments[0]).upper(), _without_values(arguments)):
            return execute(*arguments, **options)

    def traced_pipeline(*arguments: Any, **options: Any) -> Any:
        made = pipeline(*arguments, **options)
        run = made.execute

        def traced_run(*more: Any, **others: Any) -> Any:
            with spanned("PIPELINE", f"{len(made)} commands"):
                return run(*more, **others)

        made.execute = traced_run
        return made

    client.execute_command, client.pipeline = traced, traced_pipeline
    return client


def _without_values(arguments: tuple[Any, ...]) -> str:
    """The command and what kind of key it works on: keys may hold names, values may hold anything."""
    if len(arguments) < 2:
        return str(arguments[0])
    key = arguments[1]
    text = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
    return f"{arguments[0]} {text.partition(':')[0]}:?" if ":" in text else f"{arguments[0]} ?"
