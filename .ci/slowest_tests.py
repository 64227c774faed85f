"""Prints the ten slowest tests of a JUnit report that cargo nextest wrote.

Usage: slowest_tests.py REPORT
"""

import sys
import xml.etree.ElementTree as ElementTree

SHOWN = 10


def main(report: str) -> None:
    cases = ElementTree.parse(report).getroot().iter("testcase")
    slowest = sorted(cases, key=lambda case: float(case.get("time", "0")), reverse=True)[:SHOWN]
    print(f"\nthe {len(slowest)} slowest tests:")
    for case in slowest:
        print(f"  {float(case.get('time', '0')):8.2f} s  {case.get('classname', '')} {case.get('name', '')}")


if __name__ == "__main__":
    main(sys.argv[1])
