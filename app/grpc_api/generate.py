"""Generate the Python code of ids.proto again: `python -m app.grpc_api.generate`.

Needs grpcio-tools, which only development has.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
GENERATED = ("ids_pb2.py", "ids_pb2.pyi", "ids_pb2_grpc.py")


def generate(out: Path) -> dict[str, str]:
    """Write the generated files below `out` (a repository's root); their contents by name."""
    from grpc_tools import protoc  # noqa: PLC0415  # not on the hosts

    root = HERE.parents[1]
    proto = HERE.relative_to(root) / "ids.proto"
    outs = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    code = protoc.main(["protoc", f"--proto_path={root}", *outs, proto.as_posix()])
    if code != 0:
        raise RuntimeError(f"protoc ended with {code}")
    return {name: (out / proto.parent / name).read_text() for name in GENERATED}


if __name__ == "__main__":
    generate(HERE.parents[1])
    sys.exit(0)
