"""Runs statements on DuckDB with the Postgres database of DATABASE_URL attached as `peer`.

Usage: peer.py THREADS EXTENSION STATEMENT…; says when it is done, and ends with its input.
"""

import os
import sys

import duckdb

threads, extension, *statements = sys.argv[1:]
db = duckdb.connect(config={"threads": threads})
# What is written to standard output is an answer.
db.execute("SET enable_progress_bar = false")
db.execute(f"LOAD '{extension}'")
db.execute(f"ATTACH '{os.environ['DATABASE_URL']}' AS peer (TYPE postgres, READ_ONLY)")
for statement in statements:
    db.execute(statement)
print("written", flush=True)
sys.stdin.read()
