"""The endpoints, one blueprint a subject."""
