"""gunicorn's own log in the service's JSON."""

import logging.config

from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from app.server import logs


class JsonLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """No access log: the edge has one, and preparing a line costs a good part of a request."""

    def setup(self, cfg: Config) -> None:
        """Use the service's handlers."""
        self.loglevel = logging.getLevelName(cfg.loglevel.upper())
        logging.config.dictConfig(logs.dict_config(cfg.loglevel))

    def access(self, resp: object, req: object, environ: object, request_time: object) -> None:
        """Nothing."""
