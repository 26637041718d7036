"""The release engine: measured evidence decides whether a change stays.

The core (profile, plan, sample, evidence, gates, decision, entries, journal's chain, state, verify) takes
values and gives values: no network, no clock of its own. Adapters and the engine around it do the I/O.
"""
