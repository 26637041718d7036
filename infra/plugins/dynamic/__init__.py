"""The launcher of dynamic providers, used where Pulumi's distribution doesn't bring it."""
