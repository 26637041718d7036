"""Draws very many IDs through faults and looks for one that was given twice."""
