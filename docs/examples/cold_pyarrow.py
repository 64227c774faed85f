"""Reads the transactions of cold storage with pyarrow and pandas.

Usage: cold_pyarrow.py BUCKET CHAIN, with AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.
"""

import os
import sys

import pyarrow.compute as compute
import pyarrow.dataset as dataset
from pyarrow import fs

bucket, chain = sys.argv[1:]
folder = f"{bucket}/cold/{chain}/transactions"

s3 = fs.S3FileSystem(region=os.environ["AWS_REGION"], endpoint_override=os.environ.get("AWS_ENDPOINT_URL"))

# The data files of one dataset, which lie right in its folder; the manifests are one below.
entries = s3.get_file_info(fs.FileSelector(folder))
files = sorted(entry.path for entry in entries if entry.path.endswith(".parquet"))
transactions = dataset.dataset(files, filesystem=s3, format="parquet")
print(f"{len(files)} files, {transactions.count_rows()} rows")
for name in ("block_number", "transaction_hash", "value_binary", "success"):
    print(f"  {name}: {transactions.schema.field(name).type}")

# By their statistics, only the row groups are read that may hold the block.
last_block = compute.max(transactions.to_table(columns=["block_number"])["block_number"]).as_py()
table = transactions.to_table(
    columns=["block_number", "transaction_index", "from_address", "gas_used"],
    filter=compute.field("block_number") == last_block,
)
frame = table.to_pandas()
frame["from_address"] = "0x" + frame["from_address"].map(bytes.hex)
print(frame.to_string(index=False))
print(f"gas used in block {last_block}: {frame['gas_used'].sum()}")
