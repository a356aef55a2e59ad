"""Starts a session with PyAthena and one with awswrangler, as their users do, and forgets both.

Prints the two ids. Usage: forget.py URL-OF-ATHENA
"""

import os
import sys

URL = sys.argv[1]
os.environ.update(
    AWS_ENDPOINT_URL=URL, AWS_DEFAULT_REGION="eu-west-1", AWS_ACCESS_KEY_ID="demo", AWS_SECRET_ACCESS_KEY="demo"
)

import awswrangler  # noqa: E402 (it reads the environment)
import pyathena  # noqa: E402
from pyathena.spark.cursor import SparkCursor  # noqa: E402

connection = pyathena.connect(
    work_group="spark-team-a", region_name="eu-west-1", endpoint_url=URL, cursor_class=SparkCursor
)
print(connection.cursor().session_id)
print(awswrangler.athena.create_spark_session(workgroup="spark-team-b"))

# Killed, as by an eviction: PyAthena would end its session on the way out.
sys.stdout.flush()
os._exit(0)
