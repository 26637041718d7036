"""ComponentResources: what the platform is made of, whatever the runtime."""
