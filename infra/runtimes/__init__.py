"""How a component's wishes become containers."""
