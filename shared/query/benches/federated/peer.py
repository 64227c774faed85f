"""Runs queries on DuckDB, one a line of input as a JSON text, and prints the rows of each as one line of JSON.

Usage: peer.py THREADS MEMORY_BYTES HTTPFS STATEMENT…; the statements make the relations. It ends with its input.
"""

import json
import sys

import duckdb


def text(value):
    if value is None:
        return ""
    return value.hex() if isinstance(value, bytes) else str(value)


threads, memory_bytes, httpfs, *statements = sys.argv[1:]
db = duckdb.connect(config={"threads": threads, "memory_limit": f"{memory_bytes}B"})
# What is written to standard output is an answer.
db.execute("SET enable_progress_bar = false")
db.execute(f"LOAD '{httpfs}'")
# A file that was read once would not be read again.
db.execute("SET enable_external_file_cache = false")
for statement in statements:
    db.execute(statement)
print("ready", flush=True)
for line in sys.stdin:
    rows = db.execute(json.loads(line)).fetchall()
    print(json.dumps([[text(value) for value in row] for row in rows]), flush=True)
