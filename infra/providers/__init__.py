"""Dynamic providers. Pulumi's state refers to their classes by name: never rename or move one."""
