"""Reads the transactions and logs of cold storage with DuckDB.

Usage: cold_duckdb.py BUCKET CHAIN, with AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.
"""

import os
import sys
from urllib.parse import urlsplit

import duckdb

bucket, chain = sys.argv[1:]
cold = f"s3://{bucket}/cold/{chain}"

db = duckdb.connect()
db.execute("INSTALL httpfs; LOAD httpfs")
access = {
    "REGION": os.environ["AWS_REGION"],
    "KEY_ID": os.environ["AWS_ACCESS_KEY_ID"],
    "SECRET": os.environ["AWS_SECRET_ACCESS_KEY"],
    "SESSION_TOKEN": os.environ.get("AWS_SESSION_TOKEN", ""),
}
if endpoint := os.environ.get("AWS_ENDPOINT_URL"):  # a store that is not AWS's own
    place = urlsplit(endpoint)
    access |= {"ENDPOINT": place.netloc, "USE_SSL": place.scheme == "https", "URL_STYLE": "path"}
settings = ", ".join(f"{name} ${name}" for name in access)
db.execute(f"CREATE SECRET (TYPE s3, {settings})", access)

# A plain glob: one dataset of one chain.
db.execute(f"CREATE VIEW transactions AS FROM read_parquet('{cold}/transactions/*.parquet')")
db.execute(f"CREATE VIEW logs AS FROM read_parquet('{cold}/logs/*.parquet')")
db.sql(
    "SELECT count(*) AS row_count, min(block_number) AS first_block, max(block_number) AS last_block FROM transactions"
).show()

# The contracts that wrote the most logs.
db.sql("""
    SELECT '0x' || lower(hex(address)) AS contract, count(*) AS log_count, count(DISTINCT block_number) AS block_count
      FROM logs GROUP BY address ORDER BY log_count DESC, address LIMIT 3
""").show(max_width=120)

# One transaction by its hash: the Bloom filters rule out the other row groups.
(last_hash,) = db.sql(
    "SELECT transaction_hash FROM transactions ORDER BY block_number DESC, transaction_index DESC LIMIT 1"
).fetchone()
db.sql(
    """
    SELECT block_number, transaction_index, '0x' || lower(hex(from_address)) AS sender, gas_used, success
      FROM transactions WHERE transaction_hash = $hash
    """,
    params={"hash": last_hash},
).show(max_width=120)

# The files that the newest manifest lists, and no others: docs/cold-format.md says what else a glob may find.
(newest,) = db.sql(f"SELECT max(file) FROM glob('{cold}/transactions/manifests/*.json')").fetchone()
keys = db.sql("SELECT unnest(files).key FROM read_json($newest)", params={"newest": newest}).fetchall()
listed = [f"s3://{bucket}/{key}" for (key,) in keys]
db.sql(
    "SELECT count(DISTINCT filename) AS file_count, count(*) AS row_count FROM read_parquet($listed, filename = true)",
    params={"listed": listed},
).show()
