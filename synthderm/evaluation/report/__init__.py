"""The report: the results of the other evaluation commands as one self-contained HTML page."""

from .page import report, report_html, write_report
from .read import Result, find_results

__all__ = ["Result", "find_results", "report", "report_html", "write_report"]
