"""Runs a calculation with PyAthena and one with awswrangler, in a session that was started for them.

The session's id and work group come from the environment, as a Job has them from the published ConfigMap.
Usage: use.py URL-OF-ATHENA
"""

import os
import sys

URL = sys.argv[1]
SESSION, WORK_GROUP = os.environ["ATHENA_SESSION_ID"], os.environ["ATHENA_WORK_GROUP"]
os.environ.update(
    AWS_ENDPOINT_URL=URL,
    AWS_DEFAULT_REGION=os.environ["AWS_REGION"],
    AWS_ACCESS_KEY_ID="demo",
    AWS_SECRET_ACCESS_KEY="demo",
)

import awswrangler  # noqa: E402 (it reads the environment)
import pyathena  # noqa: E402
from pyathena.spark.cursor import SparkCursor  # noqa: E402

connection = pyathena.connect(
    work_group=WORK_GROUP, region_name=os.environ["AWS_REGION"], endpoint_url=URL, cursor_class=SparkCursor
)
cursor = connection.cursor(session_id=SESSION)
cursor.execute("print('one')")
print(cursor.state)
done = awswrangler.athena.run_spark_calculation("print('two')", workgroup=WORK_GROUP, session_id=SESSION)
print(done.get("Status", {}).get("State", "COMPLETED"))

# As a job ends that is killed: PyAthena would end the session on the way out.
sys.stdout.flush()
os._exit(0)
