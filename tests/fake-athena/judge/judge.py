"""Judges a running fake Athena with boto3 and with the service model that botocore ships.

Usage: judge.py URL

Each answer that boto3 gets is compared, raw, with the model; see `Recorder`. Each check below is a function
whose name says what holds.
"""

import datetime
import json
import sys
import traceback
import urllib.error
import urllib.request
import uuid

import boto3
import botocore
import botocore.exceptions
from botocore.config import Config

import service_model

# The members that an answer must have: the model itself marks none.
MUST = {
    "StartSession": ["SessionId", "State"],
    "GetSession": ["SessionId", "WorkGroup", "EngineVersion", "EngineConfiguration", "SessionConfiguration",
                   "Status.State", "Status.StartDateTime", "Status.LastModifiedDateTime",
                   "Statistics.DpuExecutionInMillis"],
    "GetSessionStatus": ["SessionId", "Status.State", "Status.StartDateTime", "Status.LastModifiedDateTime"],
    "GetSessionEndpoint": ["EndpointUrl", "AuthToken", "AuthTokenExpirationTime"],
    "ListSessions": ["Sessions", "Sessions[].SessionId", "Sessions[].EngineVersion.EffectiveEngineVersion",
                     "Sessions[].Status.State", "Sessions[].Status.StartDateTime"],
    "TerminateSession": ["State"],
    "TagResource": [],
    "UntagResource": [],
    "ListTagsForResource": ["Tags", "Tags[].Key", "Tags[].Value"],
    "GetWorkGroup": ["WorkGroup.Name", "WorkGroup.State", "WorkGroup.Configuration.EngineVersion"],
    "ListWorkGroups": ["WorkGroups", "WorkGroups[].Name", "WorkGroups[].State"],
    "StartCalculationExecution": ["CalculationExecutionId", "State"],
    "GetCalculationExecution": ["CalculationExecutionId", "SessionId", "Status.State", "Status.SubmissionDateTime",
                                "Statistics.DpuExecutionInMillis"],
    "GetCalculationExecutionStatus": ["Status.State", "Status.SubmissionDateTime"],
    "GetCalculationExecutionCode": ["CodeBlock"],
    "ListCalculationExecutions": ["Calculations", "Calculations[].CalculationExecutionId",
                                  "Calculations[].Status.State"],
    "StopCalculationExecution": ["State"],
}
ERROR_MUST = {
    "InvalidRequestException": ["Message", "AthenaErrorCode"],
    "ResourceNotFoundException": ["Message", "ResourceName"],
    "TooManyRequestsException": ["Message", "Reason"],
    "InternalServerException": ["Message"],
    "SessionAlreadyExistsException": ["Message"],
}

UNDECLARED = ["ThrottlingException", "AccessDeniedException", "ExpiredTokenException",
              "MissingAuthenticationTokenException"]

REGION, ACCOUNT, GROUP = "eu-west-1", "123456789012", "spark-team-a"
ENGINE = {"CoordinatorDpuSize": 1, "MaxConcurrentDpus": 20, "DefaultExecutorDpuSize": 1,
          "SparkProperties": {"spark.sql.shuffle.partitions": "8"}}
ENGINE_3_5 = {"MaxConcurrentDpus": 4, "Classifications": [{"Name": "spark-defaults", "Properties": {"a": "b"}}]}

# One work group of each engine, and one more, so that there are pages of them.
GROUP_3_5, GROUP_SQL = "spark-3-5", "sql"
WORK_GROUPS = [{"name": "primary"}, {"name": GROUP},
               {"name": GROUP_3_5, "engine_version": "Apache Spark version 3.5"},
               {"name": GROUP_SQL, "engine_version": "Athena engine version 3"}]


class Recorder:
    """Keeps boto3's answers as they came over the wire."""

    def __init__(self, client):
        self.model = client.meta.service_model
        self.answers = []
        client.meta.events.register("before-parse.athena.*", self.keep)

    def keep(self, operation_model, response_dict, **_):
        self.answers.append((operation_model.name, response_dict["status_code"], dict(response_dict["headers"]),
                             json.loads(response_dict["body"])))

    def good(self):
        return [(name, body) for name, status, _, body in self.answers if status == 200]

    def problems(self):
        found = []
        for name, status, headers, body in self.answers:
            what = self.answer_problems(name, body) if status == 200 else self.error_problems(name, status, body)
            lower = {key.lower(): value for key, value in headers.items()}
            if lower.get("content-type") != "application/x-amz-json-1.1":
                what.append(f"content type {lower.get('content-type')}")
            what += [f"no header {header}" for header in ("x-amzn-requestid", "date") if header not in lower]
            found += [f"{name}, {status}: {line}" for line in what]
        return found

    def answer_problems(self, name, body):
        shape = self.model.operation_model(name).output_shape
        return service_model.problems(shape, body) + service_model.missing(body, MUST[name])

    def error_problems(self, name, status, body):
        code = body.get("__type", "")
        declared = {shape.name: shape for shape in self.model.operation_model(name).error_shapes}
        rest = {key: value for key, value in body.items() if key != "__type"}
        # What Athena sends undeclared has the members of InternalServerException, which each operation declares.
        shape = declared.get("InternalServerException" if code in UNDECLARED else code)
        if shape is None:
            return [f"undeclared error {body}"]
        found = service_model.problems(shape, rest) + service_model.missing(rest, ERROR_MUST.get(code, ["Message"]))
        wanted = 500 if code == "InternalServerException" else 400
        return found if status == wanted else found + [f"{code} with HTTP status {status}"]


class Judge:
    def __init__(self, url):
        self.url = url
        self.athena = self.client("athena")
        self.recorder = Recorder(self.athena)

    def client(self, service, **more):
        settings = {"aws_access_key_id": "AKIAFAKE", "aws_secret_access_key": "fake"} | more
        config = Config(retries={"total_max_attempts": 1}, read_timeout=2, parameter_validation=False)
        config = config.merge(settings.pop("config", Config()))
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, config=config, **settings)

    def control(self, method, path, body=None):
        request = urllib.request.Request(f"{self.url}/_fake/{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def reset(self):
        self.control("DELETE", "faults")
        for session in self.control("GET", "sessions"):
            self.control("DELETE", f"sessions/{session['id']}")
        self.control("PATCH", "config", {"creating": "0s", "terminating": "0s", "calculation": "0s", "quotas": {},
                                         "work_groups": WORK_GROUPS, "not_found": "invalid_request", "skew": "0s",
                                         "page_limit": 100, "policies": None, "terminate_ends_in": "TERMINATED"})

    def start(self, **more):
        return self.athena.start_session(WorkGroup=GROUP, EngineConfiguration=ENGINE, **more)["SessionId"]

    def state(self, session):
        return self.athena.get_session_status(SessionId=session)["Status"]["State"]

    def arn(self, session):
        return f"arn:aws:athena:{REGION}:{ACCOUNT}:workgroup/{GROUP}/session/{session}"

    def raw(self, operation, body):
        headers = {"X-Amz-Target": f"AmazonAthena.{operation}", "Content-Type": "application/x-amz-json-1.1",
                   "Authorization": f"AWS4-HMAC-SHA256 Credential=AKIAFAKE/20260101/{REGION}/athena/aws4_request"}
        request = urllib.request.Request(self.url, data=json.dumps(body).encode(), headers=headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def refused(self, exception, call, **arguments):
        """Calls, expects that exception, and returns its answer."""
        try:
            call(**arguments)
        except getattr(self.athena.exceptions, exception) as error:
            return error.response
        raise AssertionError(f"no {exception}")


def a_session_goes_through_its_states(judge):
    judge.control("PATCH", "config", {"creating": "never", "terminating": "never"})
    started = judge.athena.start_session(
        WorkGroup=GROUP, EngineConfiguration=ENGINE, Description="nightly", SessionIdleTimeoutInMinutes=30,
        ExecutionRole=f"arn:aws:iam::{ACCOUNT}:role/spark", NotebookVersion="Athena notebook version 1",
        MonitoringConfiguration={"S3LoggingConfiguration": {"Enabled": True, "LogLocation": "s3://bucket/logs"}},
        Tags=[{"Key": "team", "Value": "a"}], CopyWorkGroupTags=True, ClientRequestToken=str(uuid.uuid4()))
    session = started["SessionId"]
    assert started["State"] == "CREATING"
    for state in ("CREATED", "IDLE", "BUSY", "DEGRADED"):
        judge.control("POST", f"sessions/{session}/state", {"state": state})
        answer = judge.athena.get_session(SessionId=session)
        assert answer["Status"]["State"] == state
        assert ("IdleSinceDateTime" in answer["Status"]) == (state == "IDLE")
    assert answer["Description"] == "nightly" and answer["EngineConfiguration"] == ENGINE
    assert answer["SessionConfiguration"]["SessionIdleTimeoutInMinutes"] == 30
    assert answer["MonitoringConfiguration"]["S3LoggingConfiguration"]["LogLocation"] == "s3://bucket/logs"
    assert judge.athena.terminate_session(SessionId=session)["State"] == "TERMINATING"
    judge.control("POST", f"sessions/{session}/state", {"state": "TERMINATED"})
    status = judge.athena.get_session_status(SessionId=session)["Status"]
    assert status["State"] == "TERMINATED" and status["EndDateTime"] >= status["StartDateTime"]


def an_ended_session_says_why_and_ends_only_once(judge):
    session = judge.start()
    assert judge.athena.terminate_session(SessionId=session)["State"] == "TERMINATED"
    status = judge.athena.get_session_status(SessionId=session)["Status"]
    assert status["StateChangeReason"] == "Session was terminated per request"
    assert judge.athena.terminate_session(SessionId=session)["State"] == "TERMINATED"
    assert judge.athena.get_session_status(SessionId=session)["Status"] == status


def pages_lead_through_all_sessions_newest_first(judge):
    ids = [judge.start(Description=f"number {number}") for number in range(7)]
    assert [len(ids) for ids in list_pages(judge, MaxResults=3)] == [3, 3, 1]
    assert sum(list_pages(judge, MaxResults=3), []) == ids[::-1]
    assert sum(list_pages(judge), []) == ids[::-1]


def list_pages(judge, **filters):
    answer = judge.athena.list_sessions(WorkGroup=GROUP, **filters)
    pages = [[session["SessionId"] for session in answer["Sessions"]]]
    while "NextToken" in answer:
        answer = judge.athena.list_sessions(WorkGroup=GROUP, NextToken=answer["NextToken"], **filters)
        pages.append([session["SessionId"] for session in answer["Sessions"]])
    return pages


def a_filter_lists_one_state_and_no_filter_lists_the_active_ones(judge):
    states = judge.athena.meta.service_model.shape_for("SessionState").enum
    ids = {state: judge.control("POST", "sessions", {"state": state, "work_group": GROUP})["id"] for state in states}
    for state in states:
        assert list_pages(judge, StateFilter=state) == [[ids[state]]], state
    active = {ids[state] for state in ("CREATING", "CREATED", "IDLE", "BUSY")}
    assert set(list_pages(judge)[0]) == active


def a_token_starts_one_session(judge):
    token = str(uuid.uuid4())
    first = judge.start(ClientRequestToken=token)
    assert judge.start(ClientRequestToken=token) == first
    judge.refused("InvalidRequestException", judge.start, ClientRequestToken=token, Description="another")
    assert list_pages(judge) == [[first]]


def tags_are_kept_and_removed(judge):
    session = judge.start(Tags=[{"Key": "team", "Value": "a"}])
    for arn in (judge.arn(session), judge.arn(session).split("/session/")[0]):
        judge.athena.tag_resource(ResourceARN=arn, Tags=[{"Key": "keep", "Value": ""}, {"Key": "x", "Value": "y"}])
        judge.athena.untag_resource(ResourceARN=arn, TagKeys=["x"])
        tags = judge.athena.list_tags_for_resource(ResourceARN=arn)["Tags"]
        assert {"Key": "keep", "Value": ""} in tags and not any(tag["Key"] == "x" for tag in tags)
    gone = judge.arn("gone")
    answer = judge.refused("ResourceNotFoundException", judge.athena.list_tags_for_resource, ResourceARN=gone)
    assert answer["ResourceName"] == gone


def work_groups_are_listed_and_described(judge):
    names = [group["Name"] for group in judge.athena.list_work_groups()["WorkGroups"]]
    assert GROUP in names
    first = judge.athena.list_work_groups(MaxResults=1)
    assert [group["Name"] for group in first["WorkGroups"]] == names[:1]
    second = judge.athena.list_work_groups(MaxResults=1, NextToken=first["NextToken"])
    assert [group["Name"] for group in second["WorkGroups"]] == names[1:2]
    assert judge.athena.get_work_group(WorkGroup=GROUP)["WorkGroup"]["Name"] == GROUP


def a_work_group_and_its_sessions_say_their_engine(judge):
    for group, engine, configuration in [(GROUP, "PySpark engine version 3", ENGINE),
                                         (GROUP_3_5, "Apache Spark version 3.5", ENGINE_3_5)]:
        described = judge.athena.get_work_group(WorkGroup=group)["WorkGroup"]["Configuration"]["EngineVersion"]
        assert described["EffectiveEngineVersion"] == engine
        started = judge.athena.start_session(WorkGroup=group, EngineConfiguration=configuration)["SessionId"]
        assert judge.athena.get_session(SessionId=started)["EngineVersion"] == engine
        listed, = judge.athena.list_sessions(WorkGroup=group)["Sessions"]
        assert listed["EngineVersion"]["EffectiveEngineVersion"] == engine


def each_engine_refuses_what_it_does_not_take(judge):
    start = judge.athena.start_session
    for group, member, value in [(GROUP_3_5, "CoordinatorDpuSize", 1), (GROUP_3_5, "DefaultExecutorDpuSize", 1),
                                 (GROUP_3_5, "SparkProperties", {"a": "b"}), (GROUP, "Classifications", [])]:
        answer = judge.refused("InvalidRequestException", start, WorkGroup=group, EngineConfiguration={member: value})
        assert member in answer["Error"]["Message"], answer
    notebook = {"AdditionalConfigs": {"NotebookId": str(uuid.uuid4())}}
    answer = judge.refused("InvalidRequestException", start, WorkGroup=GROUP, EngineConfiguration=notebook)
    assert answer["Error"]["Message"] == "NotebookVersion is required when NotebookId is provided."
    start(WorkGroup=GROUP, EngineConfiguration=notebook, NotebookVersion="Athena notebook version 1")
    for call, more in [(start, {"EngineConfiguration": {}}), (judge.athena.list_sessions, {})]:
        answer = judge.refused("InvalidRequestException", call, WorkGroup=GROUP_SQL, **more)
        assert answer["Error"]["Message"] == "Workgroup EngineVersion is not Spark."


def a_session_of_spark_3_5_stays_created_until_somebody_connects(judge):
    session = judge.athena.start_session(WorkGroup=GROUP_3_5, EngineConfiguration={})["SessionId"]
    assert judge.state(session) == "CREATED"
    endpoint = judge.athena.get_session_endpoint(SessionId=session)
    # AWS's own client (sagemaker-studio) makes a Spark Connect URL of it, by adding port and parameters.
    assert endpoint["AuthToken"] and endpoint["EndpointUrl"].startswith("https://") and ";" not in endpoint["EndpointUrl"]
    assert judge.state(session) == "IDLE"
    judge.athena.terminate_session(SessionId=session)
    answer = judge.refused("InvalidRequestException", judge.athena.get_session_endpoint, SessionId=session)
    assert "STOPPED" in answer["Error"]["Message"]


def a_calculation_keeps_its_session_busy(judge):
    session = judge.start()
    athena = judge.athena
    judge.control("PATCH", "config", {"calculation": "1h"})
    calculation = athena.start_calculation_execution(SessionId=session, CodeBlock="1", Description="d")
    calculation = calculation["CalculationExecutionId"]
    assert judge.state(session) == "BUSY"
    judge.refused("InvalidRequestException", athena.start_calculation_execution, SessionId=session, CodeBlock="2")
    assert athena.get_calculation_execution(CalculationExecutionId=calculation)["Status"]["State"] == "RUNNING"
    assert athena.get_calculation_execution_code(CalculationExecutionId=calculation)["CodeBlock"] == "1"
    assert athena.stop_calculation_execution(CalculationExecutionId=calculation)["State"] == "CANCELED"
    assert judge.state(session) == "IDLE"
    judge.control("PATCH", "config", {"calculation": "0s"})
    done = athena.start_calculation_execution(SessionId=session, CodeBlock="2")["CalculationExecutionId"]
    status = athena.get_calculation_execution_status(CalculationExecutionId=done)["Status"]
    assert status["State"] == "COMPLETED" and "CompletionDateTime" in status
    assert "Result" in athena.get_calculation_execution(CalculationExecutionId=done)
    listed = athena.list_calculation_executions(SessionId=session)["Calculations"]
    assert [item["CalculationExecutionId"] for item in listed] == [done, calculation]
    only = athena.list_calculation_executions(SessionId=session, StateFilter="CANCELED")["Calculations"]
    assert [item["CalculationExecutionId"] for item in only] == [calculation]


def a_calculation_dies_with_its_session(judge):
    session = judge.start()
    judge.control("PATCH", "config", {"calculation": "1h"})
    answer = judge.athena.start_calculation_execution(SessionId=session, CodeBlock="1")
    judge.athena.terminate_session(SessionId=session)
    status = judge.athena.get_calculation_execution_status(CalculationExecutionId=answer["CalculationExecutionId"])
    assert status["Status"]["State"] == "FAILED"


def what_does_not_exist_is_an_invalid_request_or_not_found(judge):
    look = judge.athena.get_session_status
    answer = judge.refused("InvalidRequestException", look, SessionId="gone")
    assert "gone" in answer["Error"]["Message"] and answer["AthenaErrorCode"]
    judge.control("PATCH", "config", {"not_found": "resource_not_found"})
    assert judge.refused("ResourceNotFoundException", look, SessionId="gone")["ResourceName"] == "gone"
    answer = judge.refused("InvalidRequestException", judge.athena.list_sessions, WorkGroup="gone")
    assert answer["Error"]["Message"] == "WorkGroup gone is not found."


def each_declared_error_can_be_scripted(judge):
    for name in MUST:
        for shape in judge.athena.meta.service_model.operation_model(name).error_shapes:
            status = 500 if shape.name == "InternalServerException" else 400
            error = {"code": shape.name, "message": "as scripted", "status": status}
            judge.control("POST", "faults", {"kind": {"error": error}, "operation": name, "times": 1})
            method = getattr(judge.athena, botocore.xform_name(name))
            answer = judge.refused(shape.name, method)
            assert answer["Error"]["Message"] == "as scripted"


def undeclared_errors_arrive_with_their_code(judge):
    session = judge.start()
    for code in UNDECLARED:
        error = {"code": code, "message": "as scripted"}
        judge.control("POST", "faults", {"kind": {"error": error}, "times": 1})
        assert client_error(judge.athena.terminate_session, SessionId=session) == code
    assert judge.state(session) == "IDLE"


def a_request_without_a_signature_is_refused_and_not_counted(judge):
    unsigned = judge.client("athena", config=Config(signature_version=botocore.UNSIGNED))
    before = len(judge.control("GET", "calls"))
    assert client_error(unsigned.get_session_status, SessionId="any") == "MissingAuthenticationTokenException"
    assert len(judge.control("GET", "calls")) == before


def a_quota_throttles(judge):
    session = judge.start()
    judge.control("PATCH", "config", {"quotas": {"TerminateSession": {"rate": 0.001, "burst": 1}}})
    judge.athena.terminate_session(SessionId=session)
    assert client_error(judge.athena.terminate_session, SessionId=session) == "ThrottlingException"


def client_error(call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    raise AssertionError("no error")


def a_cut_connection_and_silence_are_no_answers(judge):
    session = judge.start()
    fails = {"cut": botocore.exceptions.ConnectionClosedError, "hang": botocore.exceptions.ReadTimeoutError}
    for kind, expected in fails.items():
        judge.control("POST", "faults", {"kind": kind, "times": 1})
        try:
            judge.state(session)
        except expected:
            continue
        raise AssertionError(f"{kind} was answered")


def an_answer_is_what_a_fault_says(judge):
    session = judge.start()
    status = {"SessionId": session, "Status": {"State": "\x1b[31mHIBERNATING"}}
    judge.control("POST", "faults", {"kind": {"body": json.dumps(status)}, "times": 1})
    # Not by the client whose answers are compared with the service model.
    answer = judge.client("athena").get_session_status(SessionId=session)
    assert answer["Status"] == status["Status"], answer
    judge.control("POST", "faults", {"kind": "endless", "times": 1})
    # boto3 would read it without an end.
    headers = {"X-Amz-Target": "AmazonAthena.GetSessionStatus", "Content-Type": "application/x-amz-json-1.1",
               "Authorization": "AWS4-HMAC-SHA256 Credential=AKIA/1/2/3/4"}
    request = urllib.request.Request(judge.url, method="POST", headers=headers, data=b"{}")
    with urllib.request.urlopen(request) as answer:
        assert len(answer.read(1 << 20)) == 1 << 20


def a_role_is_assumed_and_its_credentials_expire(judge):
    sts = judge.client("sts")
    assert sts.get_caller_identity()["Account"] == ACCOUNT
    role = "arn:aws:iam::999999999999:role/team/operator"
    answer = sts.assume_role(RoleArn=role, RoleSessionName="judge", DurationSeconds=900)
    keys = answer["Credentials"]
    more = {"aws_access_key_id": keys["AccessKeyId"], "aws_session_token": keys["SessionToken"]}
    identity = judge.client("sts", **more).get_caller_identity()
    assert identity["Account"] == "999999999999"
    assert identity["Arn"] == answer["AssumedRoleUser"]["Arn"]
    assert identity["Arn"] == "arn:aws:sts::999999999999:assumed-role/operator/judge"
    other = judge.client("athena", **more)
    session = judge.start()
    assert client_error(other.get_session, SessionId=session) == "InvalidRequestException"
    judge.control("PATCH", "config", {"skew": "20m"})
    assert client_error(other.list_work_groups) == "ExpiredTokenException"
    assert client_error(sts.assume_role, RoleArn="x", RoleSessionName="judge") == "ValidationError"


def the_sessions_of_a_role_are_revoked_as_the_console_does_it(judge):
    sts = judge.client("sts")
    role = f"arn:aws:iam::{ACCOUNT}:role/operator"

    def assume():
        keys = sts.assume_role(RoleArn=role, RoleSessionName="judge")["Credentials"]
        more = {"aws_access_key_id": keys["AccessKeyId"], "aws_session_token": keys["SessionToken"]}
        return judge.client("athena", **more)

    before = assume()
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    # The inline policy AWSRevokeOlderSessions.
    revoke = {"Effect": "Deny", "Action": ["*"], "Resource": ["*"], "Condition": {"DateLessThan": {"aws:TokenIssueTime": now}}}
    policy = lambda *statements: [{"Version": "2012-10-17", "Statement": statements}]
    user = f"arn:aws:iam::{ACCOUNT}:user/fake"
    judge.control("PATCH", "config", {"policies": {user: policy(allow, revoke), role: policy(allow, revoke)}})
    assert client_error(before.list_work_groups) == "AccessDeniedException"
    # Credentials of a user aren't issued at any time.
    assume().list_work_groups()


def the_control_tells_of_calls_and_sessions_and_refuses_nonsense(judge):
    session = judge.start(Description="seen")
    judge.control("DELETE", "calls")
    judge.control("POST", "faults", {"kind": {"delay": "10ms"}, "operation": "TerminateSession"})
    assert len(judge.control("GET", "faults")) == 1
    judge.athena.terminate_session(SessionId=session)
    call, = judge.control("GET", "calls")
    assert (call["operation"], call["session"], call["outcome"]) == ("TerminateSession", session, "200")
    assert call["effect"] and call["access_key"] == "AKIAFAKE" and "Boto3" in call["user_agent"]
    seen = judge.control("GET", f"sessions/{session}")
    assert seen["state"] == "TERMINATED" and seen["input"]["Description"] == "seen"
    for method, path, body, status in [
        ("GET", "sessions/gone", None, 404), ("DELETE", "sessions/gone", None, 404),
        ("POST", "sessions/gone/state", {"state": "IDLE"}, 404), ("GET", "surprise", None, 404),
        ("POST", "faults", {"kind": "surprise"}, 400), ("PATCH", "config", {"creating": "soon"}, 400),
        ("PATCH", "config", {"surprise": 1}, 400), ("POST", "sessions", {"surprise": 1}, 400),
    ]:
        try:
            judge.control(method, path, body)
        except urllib.error.HTTPError as error:
            assert error.code == status and "\n" not in json.load(error)["error"], (path, error.code)
            continue
        raise AssertionError(f"{method} {path} was accepted")


def an_answer_can_be_made_to_say_something_else(judge):
    session = judge.start(Description="true")
    judge.control("POST", "faults", {
        "kind": {"says": {"Description": "false", "Status": {"StartDateTime": 0}}}, "operation": "GetSession", "times": 1})
    told = judge.athena.get_session(SessionId=session)
    assert told["Description"] == "false" and told["Status"]["StartDateTime"].year == 1970
    assert told["Status"]["State"] == judge.state(session)
    assert judge.athena.get_session(SessionId=session)["Description"] == "true"


def a_list_can_be_made_to_show_another_state_than_the_session_has(judge):
    session = judge.start()
    judge.control("POST", f"sessions/{session}/state", {"state": "IDLE"})
    judge.control("POST", f"sessions/{session}/listed-as", {"state": "TERMINATED"})
    ids = lambda **filters: [it["SessionId"] for it in judge.athena.list_sessions(WorkGroup=GROUP, **filters)["Sessions"]]
    assert session in ids(StateFilter="TERMINATED") and session not in ids(), ids()
    assert judge.state(session) == "IDLE"


def policies_decide_who_may_do_what(judge):
    """With IAM's words, as boto3 reads them; a session needs its work group and itself allowed."""
    session, other = judge.start(Tags=[{"Key": "team", "Value": "a"}]), judge.start()
    group = judge.arn(session).split("/session/")[0]
    role = f"arn:aws:iam::{ACCOUNT}:role/spark"
    allow = lambda action, resource, **condition: {
        "Effect": "Allow", "Action": action, "Resource": resource, **({"Condition": condition} if condition else {})}
    athena = judge.athena

    def may(statements, call, **arguments):
        policy = {"Version": "2012-10-17", "Statement": statements}
        judge.control("PATCH", "config", {"policies": {f"arn:aws:iam::{ACCOUNT}:user/fake": [policy]}})
        try:
            call(**arguments)
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDeniedException", error
            return error.response["Error"]["Message"]
        return None

    look = {"call": athena.get_session_status, "SessionId": session}
    both = [group, f"{group}/session/*"]
    user = f"User: arn:aws:iam::{ACCOUNT}:user/fake is not authorized to perform: athena:GetSessionStatus on resource: "
    no_policy = " because no identity-based policy allows the athena:GetSessionStatus action"
    assert may([], **look) == user + group + no_policy
    assert may([allow("athena:GetSessionStatus", group)], **look) == user + judge.arn(session) + no_policy
    assert may([allow("athena:getsession*", both)], **look) is None
    deny = {"Effect": "Deny", "Action": "athena:*", "Resource": "*"}
    assert may([allow("*", "*"), deny], **look) == user + group + " with an explicit deny in an identity-based policy"
    tagged = [allow("athena:*", group), allow("athena:*", f"{group}/session/*", StringEquals={"aws:ResourceTag/team": "a"})]
    assert may(tagged, **look) is None
    assert "GetSessionStatus on" in may(tagged, athena.get_session_status, SessionId=other)

    start = {"call": judge.start, "Tags": [{"Key": "team", "Value": "b"}], "ExecutionRole": role}
    starts = [allow("athena:StartSession", group)]
    assert "athena:TagResource on resource: " + group + "/session/" in may(starts, **start)
    tags = [allow("athena:TagResource", both[1], **{"ForAllValues:StringLike": {"aws:TagKeys": "te*"}})]
    assert f"iam:PassRole on resource: {role}" in may(starts + tags, **start)
    passes = allow("iam:PassRole", role, StringEquals={"iam:PassedToService": "athena.amazonaws.com"})
    assert may([*starts, *tags, passes], **start) is None
    assert "athena:TagResource" in may([*starts, *tags, passes], judge.start, Tags=[{"Key": "x", "Value": ""}])
    for unknown in ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"StringEquals": {"aws:SourceVpc": "x"}}):
        try:
            may([allow("*", "*", **unknown)], **look)
        except urllib.error.HTTPError as error:
            assert error.code == 400
            continue
        raise AssertionError(f"{unknown} was accepted")


def an_end_by_another_word_says_when(judge):
    """Not among the answers that are compared with the model, which doesn't know the word."""
    judge.control("PATCH", "config", {"terminate_ends_in": "STOPPED"})
    session = judge.start()
    judge.raw("TerminateSession", {"SessionId": session})
    _, answer = judge.raw("GetSessionStatus", {"SessionId": session})
    assert answer["Status"]["State"] == "STOPPED" and answer["Status"]["EndDateTime"]


def inputs_beyond_the_limits_are_refused(judge):
    tried = 0
    for name in MUST:
        shape = judge.athena.meta.service_model.operation_model(name).input_shape
        for good in (service_model.sample(shape), service_model.sample(shape, optional=False)):
            for what, broken in service_model.violations(shape, good):
                status, answer = judge.raw(name, broken)
                tried += 1
                code = answer.get("__type")
                assert status == 400 and code in ("InvalidRequestException", "SerializationException"), (name, what)
                words = answer["Message"]
                assert "validation error" in words or "must be" in words, (name, what, words)
    assert tried > 200, tried


def inputs_at_the_limits_are_accepted(judge):
    tried = 0
    for name in MUST:
        shape = judge.athena.meta.service_model.operation_model(name).input_shape
        for edge in service_model.edges(shape, service_model.sample(shape)):
            _, answer = judge.raw(name, edge)
            tried += 1
            words = answer.get("Message", "")
            assert "validation error" not in words and "must be" not in words, (name, words[:300])
    assert tried > 50, tried


def answers_keep_to_the_model(judge):
    """After all the others: judges what they have recorded."""
    found = judge.recorder.problems()
    assert not found, "\n".join(found[:20])
    unseen = set(MUST) - {name for name, _ in judge.recorder.good()}
    assert not unseen, f"no answer of {unseen}"


def the_comparison_sees_each_mutant(judge):
    """The proof that `answers_keep_to_the_model` can fail."""
    tried = 0
    latest = {(name, tuple(sorted(body))): body for name, body in judge.recorder.good()}
    for (name, _), body in latest.items():
        shape = judge.athena.meta.service_model.operation_model(name).output_shape
        broken = [mutant for mutant in service_model.mutants(shape, body) if mutant[1] != body]
        dropped = ((f"without {path}", service_model.without(body, path.split("."))) for path in MUST[name])
        for what, mutant in broken + [(what, mutant) for what, mutant in dropped if mutant is not None]:
            tried += 1
            assert judge.recorder.answer_problems(name, mutant), f"{name}: not seen: {what}"
    errors = {body["__type"]: (name, status, body) for name, status, _, body in judge.recorder.answers if status != 200}
    for code in [*ERROR_MUST, *UNDECLARED]:
        name, status, body = errors[code]
        mutants = [{key: value for key, value in body.items() if key != lost} for lost in body]
        mutants += [body | {"Surprise": 1}, body | {"__type": "Surprise"}, body | {"Message": 7}]
        for mutant in mutants:
            tried += 1
            assert judge.recorder.error_problems(name, status, mutant), f"{code}: not seen: {mutant}"
        assert judge.recorder.error_problems(name, 418, body), f"{code}: HTTP status not seen"
    assert tried > 500, tried


CHECKS = [
    a_session_goes_through_its_states, an_ended_session_says_why_and_ends_only_once,
    pages_lead_through_all_sessions_newest_first, a_filter_lists_one_state_and_no_filter_lists_the_active_ones,
    an_answer_can_be_made_to_say_something_else,
    a_list_can_be_made_to_show_another_state_than_the_session_has,
    a_token_starts_one_session, a_work_group_and_its_sessions_say_their_engine,
    each_engine_refuses_what_it_does_not_take, a_session_of_spark_3_5_stays_created_until_somebody_connects,
    tags_are_kept_and_removed, work_groups_are_listed_and_described,
    a_calculation_keeps_its_session_busy, a_calculation_dies_with_its_session,
    what_does_not_exist_is_an_invalid_request_or_not_found, each_declared_error_can_be_scripted,
    undeclared_errors_arrive_with_their_code, a_quota_throttles, a_cut_connection_and_silence_are_no_answers,
    an_answer_is_what_a_fault_says, a_role_is_assumed_and_its_credentials_expire,
    the_sessions_of_a_role_are_revoked_as_the_console_does_it,
    the_control_tells_of_calls_and_sessions_and_refuses_nonsense, policies_decide_who_may_do_what,
    an_end_by_another_word_says_when, inputs_beyond_the_limits_are_refused,
    inputs_at_the_limits_are_accepted, answers_keep_to_the_model, the_comparison_sees_each_mutant,
]


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: judge.py URL")
    judge = Judge(sys.argv[1])
    failed = 0
    for check in CHECKS:
        judge.reset()
        try:
            check(judge)
            print(f"ok    {check.__name__}")
        except Exception:  # one check's failure must not hide the others
            failed += 1
            print(f"FAIL  {check.__name__}\n{traceback.format_exc()}")
    sys.exit(f"{failed} of {len(CHECKS)} checks failed" if failed else 0)


if __name__ == "__main__":
    main()
