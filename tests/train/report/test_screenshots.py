"""The report in a real Chromium, at the width of a desk and of a phone."""

import re
import struct
from pathlib import Path

import pytest

from tests.train.browser import Tab, find_browser, open_tab
from train.report import write_report

BROWSER = find_browser()
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is on the path")

OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true)"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Text that is wider than what holds it, outside of the boxes made to scroll.
SPILT = """[...document.querySelectorAll('body *')]
  .filter(one => !one.closest('.wide, svg, .skip'))
  .filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(one => one.tagName + '.' + one.className)"""
# Boxes that scroll must be reachable and hold what they cut.
CUT = """[...document.querySelectorAll('.wide')]
  .filter(one => one.scrollWidth > one.clientWidth)
  .every(one => getComputedStyle(one).overflowX == 'auto' && one.tabIndex == 0)"""


@pytest.fixture(scope="module")
def report(scripted_run: Path) -> str:
    return Path(write_report(str(scripted_run))).as_uri()


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
async def test_the_report_fits_the_window(report: str, tmp_path: Path, width: int) -> None:
    async with open_tab(str(BROWSER), tmp_path / "profile") as tab:
        await tab.show(report, width, 900)
        check_png(await tab.screenshot(), width)
        await check_fits(tab)
        await tab.evaluate(OPEN_ALL)
        await check_fits(tab)
        assert tab.requests == [report]
        assert tab.complaints == []


@needs_browser
async def test_the_report_prints_with_everything_open(report: str, tmp_path: Path) -> None:
    async with open_tab(str(BROWSER), tmp_path / "profile") as tab:
        await tab.show(report, 1280, 900)
        closed = await tab.pdf()
        await tab.evaluate(OPEN_ALL.replace("details", "details:not(.long)"))
        opened = await tab.pdf()
        assert num_pages(closed) == num_pages(opened) > 10


async def check_fits(tab: Tab) -> None:
    assert await tab.evaluate(OVERFLOW) == 0
    assert await tab.evaluate(SPILT) == []
    assert await tab.evaluate(CUT)


def num_pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def check_png(image: bytes, width: int) -> None:
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    found, height = struct.unpack(">II", image[16:24])
    assert width - 20 <= found <= width, "less a scroll bar"
    assert height > 5000, "the whole page"
