"""Invokes a function directly, as any program with boto3 does, and prints what it answers."""

import sys

import boto3

function, request = sys.argv[1:]
answer = boto3.client("lambda").invoke(FunctionName=function, Payload=request.encode())
if "FunctionError" in answer:
    sys.exit(f"{function} failed: {answer['Payload'].read().decode()}")
sys.stdout.buffer.write(answer["Payload"].read())
