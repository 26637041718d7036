"""The report of one release, made from its journal alone: pages, pictures and a summary.

`write_report` is the entry; series.py reads the journal, charts.py draws, pages.py writes.
"""

from release.report.writing import ReportPaths, write_report

__all__ = ["ReportPaths", "write_report"]
