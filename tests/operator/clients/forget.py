"""Starts a session with one client, as its users do, and never comes to an end: the test kills this process, as an eviction does.

Usage: forget.py URL-OF-ATHENA CLIENT WORK-GROUP. Each function below is a client.
"""

import logging
import os
import sys
import time
import types

URL, CLIENT, WORK_GROUP = sys.argv[1:]
REGION = "eu-west-1"
os.environ.update(
    AWS_ENDPOINT_URL=URL, AWS_DEFAULT_REGION=REGION, AWS_ACCESS_KEY_ID="demo", AWS_SECRET_ACCESS_KEY="demo"
)


def pyathena_cursor(**more):
    import pyathena
    from pyathena.spark.cursor import SparkCursor

    connection = pyathena.connect(
        work_group=WORK_GROUP, region_name=REGION, endpoint_url=URL, cursor_class=SparkCursor
    )
    return connection.cursor(**more)


def pyathena_at_work():
    pyathena_cursor(description="pyathena: nightly export").execute("while True: pass")


def pyathena_idle():
    cursor = pyathena_cursor(session_idle_timeout_minutes=480)
    while cursor.session_id:
        time.sleep(1)


def awswrangler_at_work():
    import awswrangler

    awswrangler.athena.run_spark_calculation("while True: pass", workgroup=WORK_GROUP)


def dbt_at_work():
    """What dbt-athena does with a Python model."""
    from dbt.adapters.athena.connections import AthenaCredentials
    from dbt.adapters.athena.python_submissions import AthenaPythonJobHelper

    credentials = AthenaCredentials(
        region_name=REGION, spark_work_group=WORK_GROUP, database="awsdatacatalog", schema="sales"
    )
    model = {"relation_name": "orders", "config": {"polling_interval": 1}}
    AthenaPythonJobHelper(model, credentials).submit("while True: pass")


def sagemaker_studio_connected():
    """What a notebook of SageMaker Studio does between asking Amazon DataZone for its project and sending queries by gRPC."""
    # The client would write log files below /var/log.
    logging.getLogger("SparkConnect").addHandler(logging.NullHandler())
    # pyspark-client has no Spark, and looks for one at import.
    os.environ["SPARK_HOME"] = "/nonexistent"
    import boto3
    from sagemaker_studio.utils.spark.session.athena.athena_spark_session_manager import AthenaSparkSessionManager

    manager = AthenaSparkSessionManager()
    manager.athena_client = boto3.client("athena", config=manager._client_retry_config())
    manager.project = types.SimpleNamespace(id="project-of-the-test")
    session, url = manager._start_athena_session(WORK_GROUP, "somebody", {"spark.sql.catalogImplementation": "hive"})
    assert url.startswith("sc://") and url.count("use_ssl") == 1, url
    while session:
        time.sleep(1)


globals()[CLIENT]()
