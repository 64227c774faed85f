"""Checks the links of every tracked Markdown file.

Relative links must lead to a file, their anchors to a heading of it, and a path in back-ticks that begins with one of the
repository's folders must exist (`shared/<crate>/…` and the like, with a placeholder or a glob in them, are not paths).
Links to other sites are not followed. Prints one line per broken link and exits 1 if there is one.
"""

import functools
import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = "cli|docs|events-fixtures|fargate-operators|lambdas|migrations|shared|terraform|\\.ci|\\.config"
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
DEFINITION = re.compile(r"^\s{0,3}\[[^\]]+\]:\s*<?(\S+?)>?\s*$")
PATH = re.compile(rf"`((?:{FOLDERS})/[A-Za-z0-9_./-]+)(?::\d+)?`")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$")
ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")


def markdown_files() -> list[pathlib.Path]:
    """The Markdown files that git tracks or would track; all of them where there is no git."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        capture_output=True, text=True, check=False,
    )
    if listed.returncode == 0:
        return sorted(path for line in listed.stdout.splitlines() if (path := ROOT / line).exists())
    return sorted(
        path for path in ROOT.rglob("*.md") if not {"target", ".tools", ".git"} & set(path.relative_to(ROOT).parts)
    )


def lines_outside_code(path: pathlib.Path) -> list[tuple[int, str]]:
    """The numbered lines of a file that are not inside a fenced block."""
    fence, lines = None, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if mark and fence is None:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):
            fence = None
        elif fence is None:
            lines.append((number, line))
    return lines


@functools.cache
def anchors(path: pathlib.Path) -> set[str]:
    """The anchors of a Markdown file: its headings as code forges derive them, and explicit ones."""
    found: set[str] = set()
    for _, line in lines_outside_code(path):
        found.update(ANCHOR.findall(line))
        heading = HEADING.match(line)
        if heading:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            number = 0
            while (anchor := f"{slug}-{number}" if number else slug) in found:
                number += 1
            found.add(anchor)
    return found


def fault_of(source: pathlib.Path, link: str) -> str | None:
    """What is wrong with a link of `source`, or `None`."""
    if re.match(r"[a-z][a-z0-9+.-]*:", link, re.IGNORECASE):
        return None
    place, _, anchor = urllib.parse.unquote(link).partition("#")
    base = ROOT if place.startswith("/") else source.parent
    target = (base / place.lstrip("/")).resolve() if place else source
    if not target.is_relative_to(ROOT):
        return "leads out of the repository"
    if not target.exists():
        return "leads to no file"
    if anchor and target.suffix == ".md" and anchor not in anchors(target):
        return "names no heading of that file"
    return None


def main() -> int:
    files, links, faults = markdown_files(), 0, []
    for source in files:
        for number, line in lines_outside_code(source):
            where = f"{source.relative_to(ROOT)}:{number}"
            for path in PATH.findall(line):
                links += 1
                if not (ROOT / path).exists():
                    faults.append(f"{where}: `{path}` does not exist")
            without_code = re.sub(r"`[^`]*`", "", line)
            for link in LINK.findall(without_code) + DEFINITION.findall(without_code):
                links += 1
                fault = fault_of(source, link)
                if fault:
                    faults.append(f"{where}: {link} {fault}")
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"{len(files)} Markdown files, {links} links and paths, {len(faults)} broken")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
