"""For all tests: a property holds or not; how busy the machine is says nothing about it."""

from hypothesis import settings

settings.register_profile("plumbline", deadline=None, print_blob=True)
settings.load_profile("plumbline")
