"""The HTTP side: Flask under gunicorn."""
