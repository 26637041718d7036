"""The app as a wheel (PEP 427), made from the checkout's `app/` without a build backend."""

import base64
import hashlib
import io
import re
import zipfile
from pathlib import Path

from app.bundle.archive import Entry

NOT_SHIPPED = ("app/bundle/", "app/build.py")
_FIXED_TIME = (2020, 1, 1, 0, 0, 0)


def app_files(root: Path) -> list[Entry]:
    """The files of `app/` that run on a host, sorted; without what only builds bundles."""
    files = []
    for path in sorted((root / "app").rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix in (".py", ".mako") and not name.startswith(NOT_SHIPPED):
            files.append((name, path.read_bytes()))
    return files


def dist_info(files: list[Entry], version: str) -> list[Entry]:
    """The wheel's own records for these files."""
    folder = f"plumbline_app-{_wheel_version(version)}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: plumbline-app\nVersion: {_wheel_version(version)}\n"
    wheel = "Wheel-Version: 1.0\nGenerator: plumbline\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    own = [(f"{folder}/METADATA", metadata.encode()), (f"{folder}/WHEEL", wheel.encode())]
    lines = [f"{name},sha256={_record_hash(content)},{len(content)}" for name, content in [*files, *own]]
    record = "\n".join([*lines, f"{folder}/RECORD,,", ""])
    return [*own, (f"{folder}/RECORD", record.encode())]


def name(version: str) -> str:
    """The wheel's file name."""
    return f"plumbline_app-{_wheel_version(version)}-py3-none-any.whl"


def pack(entries: list[Entry]) -> bytes:
    """The wheel's bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries:
            info = zipfile.ZipInfo(entry, _FIXED_TIME)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def _wheel_version(version: str) -> str:
    """A semantic version as PEP 440 takes it: 1.2.0-rc.1 becomes 1.2.0+rc.1 (a local label, any words)."""
    release, _, rest = version.partition("-")
    return f"{release}+{re.sub('[^a-z0-9]+', '.', rest.lower()).strip('.')}" if rest else release


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
