"""The whole main job, end to end: provision, configure, a good release, a bad one caught, the report."""
