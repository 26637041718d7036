#!/usr/bin/python3 -IS
"""Read or set the share of traffic that goes to the green slot.

edge-share get
edge-share set --green-bp 1000 --token 7
edge-share servers

Shares are basis points (0..10000). The map file carries the share and the highest fencing token seen;
it is replaced in one step, so a crash leaves either the old pair or the new one. `set` writes the file
first and then tells every HAProxy process: a process that starts later reads the new file, a process
that started earlier is in the master's list. Answers are one line of JSON on stdout.

Exit codes: 0 done; 1 HAProxy didn't do it or its processes disagree; 2 bad input, nothing touched;
5 the token is lower than one already seen, nothing touched.
"""

import contextlib
import csv
import fcntl
import json
import os
import socket
import sys
import time
from pathlib import Path

MAP = Path("/etc/haproxy/share.map")
MASTER_SOCKET = "/run/haproxy-master.sock"
LOCK = "/run/edge-share.lock"
SOCKET_TIMEOUT_S = 1.0
RELOAD_S = 2.0  # longest time in which a master that replaces itself drops connections and answers
LOCK_TIMEOUT_S = 5.0
FULL_BP = 10_000
SLOTS = ("blue", "green")
USAGE = "usage: edge-share get | edge-share set --green-bp 0..10000 --token N | edge-share servers"


class Refused(Exception):
    """The end of this run: an exit code and the fields of the JSON answer."""

    def __init__(self, code, error, **fields):
        super().__init__(error)
        self.code, self.answer = code, {"error": error, **fields}


def main(arguments):
    """Run one command; gives its answer."""
    if arguments == ["get"]:
        with locked():
            return patiently(lambda: agreed(read_file(), tell=False))
    if arguments == ["servers"]:
        return patiently(servers)
    if arguments[:1] == ["set"]:
        green_bp, token = wanted(arguments[1:])
        with locked():
            return set_share(green_bp, token)
    raise Refused(2, USAGE)


def wanted(options):
    """(green_bp, token) from the options of `set`, in either order."""
    pairs = dict(zip(options[::2], options[1::2], strict=False))
    if len(options) != 4 or set(pairs) != {"--green-bp", "--token"}:
        raise Refused(2, USAGE)
    return number("--green-bp", pairs["--green-bp"], FULL_BP), number("--token", pairs["--token"], 2**63 - 1)


def number(name, text, highest):
    """A whole number from 0 to `highest`, or a refusal that names the option."""
    if not (text.isascii() and text.isdigit() and int(text) <= highest):
        raise Refused(2, f"{name} is {text!r}: a whole number from 0 to {highest} is allowed")
    return int(text)


@contextlib.contextmanager
def locked():
    """One edge-share at a time on this edge, so that tokens are compared in order."""
    handle = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Refused(1, f"another edge-share has held {LOCK} for {LOCK_TIMEOUT_S:.0f} s") from None
            time.sleep(0.005)
    try:
        yield
    finally:
        os.close(handle)


def set_share(green_bp, token):
    """Persist, tell every process, read back."""
    seen = read_file()["token"]
    if token < seen:
        raise Refused(5, f"token {token} is lower than {seen}, which this edge has already seen", token=seen)
    write_file(green_bp, token)
    return patiently(lambda: agreed({"green_bp": green_bp, "token": token}, tell=True))


def patiently(attempt):
    """What the attempt gives; made again for a while, since a reload cuts connections and answers."""
    deadline = time.monotonic() + RELOAD_S
    while True:
        try:
            return attempt()
        except (Refused, OSError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def agreed(persisted, tell):
    """The persisted share, when every running process uses it; with `tell`, each is told it first."""
    for pid in processes():
        for key, value in (("token", persisted["token"]), ("green", persisted["green_bp"])) if tell else ():
            ask(f"@!{pid} set map {MAP} {key} {value}")
        running = parse(ask(f"@!{pid} show map {MAP}"), key_column=1)
        if running != persisted:
            raise Refused(
                1,
                f"HAProxy process {pid} runs with another share than the file {MAP}",
                running=running,
                persisted=persisted,
            )
    return persisted


def processes():
    """Process ids of the workers, those of earlier reloads that still serve connections included."""
    lines = ask("show proc").splitlines()
    pids = [line.split()[0] for line in lines if line.split()[1:2] == ["worker"]]
    if not pids:
        raise Refused(1, "HAProxy has no worker process")
    return pids


def servers():
    """State of every server: {"blue": {"app1": "UP"}, ...}, as the newest process sees it."""
    states = {}
    for row in csv.DictReader(ask("@1 show stat -1 4 -1").lstrip("# ").splitlines()):
        if row["pxname"] in SLOTS:
            states.setdefault(row["pxname"], {})[row["svname"]] = row["status"]
    if set(states) != set(SLOTS):
        raise Refused(1, "HAProxy doesn't say how the servers of its slots are")
    return states


def ask(command):
    """One command on the master's socket. The answer is cut short when a reload comes in between."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(SOCKET_TIMEOUT_S)
        link.connect(MASTER_SOCKET)
        link.sendall(f"{command};quit\n".encode())
        parts = []
        while part := link.recv(65536):
            parts.append(part)
    return b"".join(parts).decode()


def read_file():
    """Share and token from the map file."""
    text = MAP.read_text(encoding="ascii")
    persisted = parse(text, key_column=0)
    if not persisted:
        raise Refused(1, f"{MAP} must hold `green` and `token`, but holds {text.strip()!r}")
    return persisted


def parse(text, key_column):
    """{"green_bp", "token"} from map lines; the socket puts an identifier before each key. Else {}."""
    rows = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    values = {row[key_column]: row[key_column + 1] for row in rows if len(row) == key_column + 2}
    if not {"green", "token"} <= set(values):
        return {}
    return {"green_bp": int(values["green"]), "token": int(values["token"])}


def write_file(green_bp, token):
    """Replace the map file; it is on disk when this returns."""
    temporary = MAP.with_suffix(".new")
    with temporary.open("w", encoding="ascii") as file:
        file.write(f"green {green_bp}\ntoken {token}\n")
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
    temporary.replace(MAP)
    directory = os.open(MAP.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


if __name__ == "__main__":
    try:
        code, answer = 0, main(sys.argv[1:])
    except Refused as refusal:
        code, answer = refusal.code, refusal.answer
    except OSError as problem:
        code, answer = 1, {"error": f"the share can't be read or set: {problem}"}
    print(json.dumps(answer))
    sys.exit(code)
