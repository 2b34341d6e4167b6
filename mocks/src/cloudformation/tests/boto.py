"""Keeps a moto server, and calls any server with boto3: one call a line on standard input, as JSON."""

import json
import os
import sys

os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", MOTO_IAM_LOAD_MANAGED_POLICIES="true")

import boto3
import botocore
from botocore.config import Config
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
print(f"http://{host}:{port}", flush=True)
clients = {}


def client(service, region, url, patience):
    """Clients are slow to make."""
    own = (service, region, url, patience)
    if own not in clients:
        config = Config(retries={"total_max_attempts": 1}, read_timeout=patience)
        clients[own] = boto3.client(service, region_name=region, endpoint_url=url, config=config)
    return clients[own]


for line in sys.stdin:
    call = json.loads(line)
    method, _, manner = call["method"].partition(", ")
    asked = client(call["service"], call["region"], call["url"], 1 if manner == "impatiently" else 60)
    try:
        said = getattr(asked, method)(**call["parameters"])
        said.pop("ResponseMetadata", None)
        answer = {"said": said}
    except botocore.exceptions.ClientError as error:
        answer = {"code": error.response["Error"]["Code"], "message": error.response["Error"]["Message"]}
    except Exception as error:
        answer = {"code": type(error).__name__, "message": str(error)}
    print(json.dumps(answer, default=str), flush=True)
