"""What gunicorn imports in each worker, after the fork: `app.server.wsgi:app`."""

from app import settings as configuration
from app.server import logs
from app.server.application import create_app
from app.server.metrics import Metrics
from app.server.runtime import Runtime

_settings, _release = configuration.load()
logs.configure(_settings.log_level, slot=_settings.slot, version=_settings.version)
runtime = Runtime(_settings, _release, Metrics(_settings.slot, _settings.version))
app = create_app(runtime)
runtime.start()
# Importing this comes before accepting connections, so a worker that starts normally never answers "not
# ready" while its sibling is. When the database is away it serves after a moment all the same, and says so.
runtime.wait_until_started(5)
