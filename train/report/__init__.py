"""The report: one self-contained page about a run, from the files of its directory alone."""

from train.report.page import write_report

__all__ = ["write_report"]
