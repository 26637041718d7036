"""The reference service that Plumbline releases: a distributed ID service.

`ids/` is the pure core (no network, no clock of its own), `storage/` and `coordination/` its I/O,
`server/` the HTTP side, `faults/` what a release may be made to suffer on purpose.
"""
