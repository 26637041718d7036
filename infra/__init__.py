"""What Pulumi provisions: configuration, components, runtimes and the inventory they give to Ansible."""
