"""The data check by itself: what is broken, odd, converted or duplicated in a data set, without training on it."""

from __future__ import annotations

from zerosum.data.found import Files
from zerosum.data.loading import assemble, load
from zerosum.data.options import Data
from zerosum.data.pairs import HALVES
from zerosum.data.report import Problem, Report
from zerosum.data.scan import check_files
from zerosum.data.sources import Source, find, is_table

__all__ = ["Problem", "Report", "check"]


def check(source: Source, options: Data | None = None) -> Report:
    """Read all of a data set and report what is wrong with it. Nothing decoded is kept in memory, but for pairs of
    two folders and domains.

    Raises:
        BadData: the source does not exist, nothing in it is usable, or (options.strict) something is not.
    """
    options = options or Data()
    if is_table(source, options):
        return load(source, options).report or Report(str(source))
    found = find(source, options)
    if options.source is not None and options.source not in HALVES:
        report = load(source, options).report
    elif isinstance(found, Files):
        report = check_files(found, options, keep=False).report
    else:
        report = assemble(found, options).report
    assert report is not None
    return report
