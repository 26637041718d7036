"""What a release acts on: a fleet of hosts, or a simulated one."""
