"""The report of a run: one self-contained HTML page that can be mailed, kept and opened anywhere."""

from zerosum.report.page import write

__all__ = ["write"]
