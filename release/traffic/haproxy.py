"""HAProxy edges: shares set through `edge-share` on each edge, at once and read back.

`edge-share` (installed by the role `edge`) changes the running map, keeps it over a restart and
refuses a fencing token lower than the highest it has seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from release.targets.transport import Answer, Host, HostUnreachable, on_all, run_on
from release.traffic.shares import (
    FULL_BP,
    Disagreement,
    EdgeShare,
    EdgeUnreachable,
    TokenRefused,
    TrafficError,
)

COMMAND = "/usr/local/sbin/edge-share"
EXIT_BAD_VALUE = 2
EXIT_TOKEN_REFUSED = 5

Run = Callable[..., Answer]


class HAProxyEdges:
    """All edges of an environment. Every operation goes to them in parallel.

    `timeout_s` bounds one command on one edge.
    """

    def __init__(self, edges: Sequence[Host], *, run: Run = run_on, timeout_s: float = 5.0) -> None:
        if not edges:
            raise ValueError("edges: none given; a release needs at least one edge")
        self.edges = tuple(edges)
        self._run = run
        self._timeout_s = timeout_s

    def read(self) -> dict[str, EdgeShare]:
        """What every edge holds now. Raises EdgeUnreachable naming those that don't answer."""
        return self._everywhere(["get"], token=None)

    def set_share(self, green_bp: int, token: int) -> dict[str, EdgeShare]:
        """Send green_bp of 10000 requests to green on all edges, and read it back from each.

        Raises EdgeUnreachable, TokenRefused, or Disagreement when an edge holds another value after it.
        The edges that could be reached have been set even when this raises.
        """
        if not 0 <= green_bp <= FULL_BP:
            raise ValueError(f"green_bp: {green_bp} is not allowed; use 0 to {FULL_BP}")
        answers = self._everywhere(["set", "--green-bp", str(green_bp), "--token", str(token)], token=token)
        shares = {name: answer.green_bp for name, answer in answers.items()}
        if any(bp != green_bp for bp in shares.values()):
            raise Disagreement(shares, green_bp)
        return answers

    def agree(self) -> EdgeShare:
        """The one share that all edges hold, with the highest token. Raises Disagreement otherwise."""
        answers = self.read()
        shares = {name: answer.green_bp for name, answer in answers.items()}
        if len(set(shares.values())) != 1:
            raise Disagreement(shares)
        return EdgeShare(next(iter(shares.values())), max(a.token for a in answers.values()))

    def not_up(self, slot: str) -> list[str]:
        """Servers of a slot that an edge wouldn't send requests to, as `edge1: app2 DOWN`.

        Raises EdgeUnreachable.
        """
        answers = on_all(self.edges, self._servers)
        unreachable = {n: str(e) for n, e in answers.items() if isinstance(e, Exception)}
        if unreachable:
            raise EdgeUnreachable(unreachable)
        found = []
        for edge, backends in answers.items():
            servers = backends.get(slot, {}) if not isinstance(backends, Exception) else {}
            hosts = {name: status for name, status in servers.items() if name != "BACKEND"}
            found += [f"{edge}: {name} {status}" for name, status in hosts.items() if status != "UP"]
            if not hosts:
                found.append(f"{edge}: no servers in {slot}")
        return found

    def _servers(self, edge: Host) -> dict[str, dict[str, str]]:
        answer = self._run(edge, [COMMAND, "servers"], timeout_s=self._timeout_s)
        if answer.code != 0:
            raise HostUnreachable(edge.name, f"edge-share failed: {_reason(answer)}")
        said: dict[str, dict[str, str]] = json.loads(answer.stdout)
        return said

    def _everywhere(self, arguments: Sequence[str], token: int | None) -> dict[str, EdgeShare]:
        answers = on_all(self.edges, lambda edge: self._on_one(edge, arguments, token))
        unreachable = {n: e.detail for n, e in answers.items() if isinstance(e, HostUnreachable)}
        for error in answers.values():
            if isinstance(error, Exception) and not isinstance(error, HostUnreachable):
                raise error
        if unreachable:
            raise EdgeUnreachable(unreachable)
        return {name: answer for name, answer in answers.items() if isinstance(answer, EdgeShare)}

    def _on_one(self, edge: Host, arguments: Sequence[str], token: int | None) -> EdgeShare:
        answer = self._run(edge, [COMMAND, *arguments], timeout_s=self._timeout_s)
        if answer.code == EXIT_TOKEN_REFUSED and token is not None:
            raise TokenRefused(edge.name, token, _reason(answer))
        if answer.code == EXIT_BAD_VALUE:
            raise TrafficError(f"{edge.name}: edge-share refused {' '.join(arguments)}: {_reason(answer)}")
        if answer.code != 0:
            raise HostUnreachable(edge.name, f"edge-share failed: {_reason(answer)}")
        try:
            said = json.loads(answer.stdout)
            return EdgeShare(int(said["green_bp"]), int(said["token"]))
        except (ValueError, KeyError, TypeError):
            raise HostUnreachable(edge.name, f"edge-share gave no JSON: {answer.stdout[:80]!r}") from None


def _reason(answer: Answer) -> str:
    """The `error` of edge-share's JSON, or the last line that was printed."""
    try:
        return str(json.loads(answer.stdout)["error"])
    except (ValueError, KeyError, TypeError):
        return answer.complaint
