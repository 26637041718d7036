"""JSON logs on stdout, one object a line, for the service and for gunicorn alike.

A line that a request causes has its request_id and trace_id. No request has a line of its own: the edge
logs each one, and at hundreds a second they cost more than they tell.
"""

import logging.config
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import structlog

from app.observing import context

_SHARED: list[Any] = [
    context.add_to_log,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def dict_config(level: str) -> dict[str, Any]:
    """The standard library's logging configuration, also for gunicorn's `logconfig_dict`."""
    to_stdout = {"handlers": ["stdout"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [*_SHARED, structlog.processors.format_exc_info],
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ],
            }
        },
        "handlers": {
            "stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}
        },
        "root": {"handlers": ["stdout"], "level": "WARNING"},
        "loggers": {"gunicorn.error": to_stdout, "gunicorn.access": to_stdout, "plumbline": to_stdout},
    }


def configure(
    level: str,
    *,
    report: Callable[[BaseException, Mapping[str, Any]], None] | None = None,
    **constant: object,
) -> None:
    """Set up logging for this process; `constant` goes into every line.

    report: told of each exception that the service logs with its trace, and of the line's other facts.
    """

    def tell(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        if report is not None and isinstance(error := event.get("exc_info"), BaseException):
            report(error, {key: value for key, value in event.items() if key != "exc_info"})
        return event

    logging.config.dictConfig(dict_config(level))
    structlog.configure(
        processors=[
            *_SHARED,
            tell,
            structlog.processors.format_exc_info,
            lambda _logger, _method, event: {**constant, **event},
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def logger() -> Any:
    """The service's logger."""
    return structlog.get_logger("plumbline")
