"""What may go wrong."""


class IdsError(Exception):
    """No ID was handed out by the call that raised it."""


class NotReachedError(IdsError):
    """The service gave no answer that can be understood, also after retries."""


class RefusedError(IdsError):
    """The service said no. slug: which documented kind of problem (its /problems/SLUG says what to do).

    status: of HTTP. retry_after_s: what Retry-After asked for, None without. request_id: to find it in the
    service's log.
    """

    def __init__(
        self, status: int, slug: str, detail: str, retry_after_s: float | None, request_id: str
    ) -> None:
        super().__init__(f"{slug}: {detail}")
        self.status, self.slug, self.detail = status, slug, detail
        self.retry_after_s, self.request_id = retry_after_s, request_id

    @property
    def may_pass(self) -> bool:
        """Whether the same call may work later."""
        return self.status in (429, 503)
