#!/usr/bin/python3
"""A service in Python, with nothing of Fades: signs a task, submits it, waits for its end, checks the receipt.

    service.py NODE_URL KEY.pem NODE_PUBLIC_KEY_HEX IMAGE@sha256:DIGEST SOURCE [ISSUER]

KEY.pem is what `fades key new` made, NODE_PUBLIC_KEY_HEX stands in node.pub in the node's folder, and
IMAGE@sha256:DIGEST is how `fades image ls --full` names an image (`images[].reference` of GET /v1/node).
Debian: apt-get install python3-cbor2 python3-cryptography
"""
import base64, hashlib, json, secrets, sys, time, urllib.error
from datetime import datetime, timedelta, timezone
from urllib.request import Request, urlopen

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

if len(sys.argv) not in (6, 7):
    sys.exit(__doc__)
URL, KEY, NODE_KEY, IMAGE, SOURCE, ISSUER = (sys.argv[1:] + ["pollution.example"])[:6]
COSE = {"Content-Type": 'application/cose; cose-type="cose-sign1"'}
try:
    key = load_pem_private_key(open(KEY, "rb").read(), None)
    node_key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(NODE_KEY))
except (OSError, ValueError) as error:
    sys.exit(f"keys {KEY} and {NODE_KEY}: {error}")


def unpad(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def stamp(seconds):
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def ulid():
    number = int(time.time() * 1000) << 80 | secrets.randbits(80)
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number >> shift & 31] for shift in range(125, -1, -5))


def to_be_signed(public, purpose, payload):
    """The protected header for a key and a purpose, and what is signed with it (RFC 9052, section 4.4)."""
    key_id = hashlib.sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).digest()
    header = cbor2.dumps({1: -8, 3: f"application/vnd.fades.{purpose}.v1+json", 4: key_id}, canonical=True)
    return header, cbor2.dumps(["Signature1", header, f"fades/{purpose}/v1".encode(), payload], canonical=True)


def sign(purpose, payload):
    header, signed = to_be_signed(key.public_key(), purpose, payload)
    return cbor2.dumps(cbor2.CBORTag(18, [header, {}, payload, key.sign(signed)]), canonical=True)


def read(path, headers={}):
    """GET with a signed request, which reading over the network needs."""
    request = {"schema": "fades.request.v1", "method": "GET", "path": path, "audience": node["node"],
               "issued_at": stamp(0), "expires_at": stamp(60), "nonce": secrets.token_hex(16)}
    envelope = sign("request", json.dumps(request).encode())
    token = base64.urlsafe_b64encode(envelope).rstrip(b"=").decode()
    return urlopen(Request(URL + path, headers={"Authorization": f"Fades {token}", **headers}), timeout=60)


def wait(task):
    """The task's last event. A stream that breaks off is taken up behind the last event that came."""
    behind = {}
    while True:
        for line in read(f"/v1/tasks/{task}/events", behind):
            name, _, value = line.decode().strip().partition(": ")
            if name == "id":
                behind = {"Last-Event-ID": value}
            elif name == "data" and json.loads(value)["state"] in ("succeeded", "failed", "cancelled", "expired"):
                return json.loads(value)
        time.sleep(0.5)


def checked(document, payload):
    """The aggregate, if the node signed that it is what this wrapper gave."""
    try:
        header, unprotected, statement, signature = cbor2.loads(unpad(document["receipt"])).value
        expected, signed = to_be_signed(node_key, "receipt", statement)
        node_key.verify(signature, signed)
    except Exception as error:  # InvalidSignature, or bytes that are no receipt at all
        sys.exit(f"do not use this result: no receipt of the node with key {NODE_KEY}: {error!r}")
    result, statement = unpad(document["result_bytes"]), json.loads(statement)
    if (header, unprotected) != (expected, {}):
        sys.exit("do not use this result: its receipt has another header than was signed for")
    for what, ours, signed in (("result", result, statement["subject"][0]["digest"]),
                               ("wrapper", payload, statement["predicate"]["wrapper"])):
        if hashlib.sha256(ours).hexdigest() != signed["sha256"]:
            sys.exit(f"do not use this result: its receipt is about another {what}")
    return json.loads(result)


try:
    node = json.load(urlopen(f"{URL}/v1/node", timeout=60))
    wrapper = json.dumps({
        "schema": "fades.task.v1",
        "credentials": {"task_id": ulid(), "issuer": ISSUER, "audience": node["node"], "node_epoch": node["epoch"],
                        "priority": 5, "issued_at": stamp(0), "expires_at": stamp(600)},
        "drb": {"operations": [{"id": "readings", "source": SOURCE, "measurement": "temperature", "field": "value",
                                "from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z", "group_by": ["room"]}]},
        "dmf": {"image": IMAGE, "parameters": {}, "lifetime": "ephemeral",
                "resources": {"memory_mib": 64, "timeout_ms": 60000}}}).encode()
    task = json.load(urlopen(Request(f"{URL}/v1/tasks", sign("task", wrapper), COSE), timeout=60))["task"]
    event = wait(task)
    if event["state"] != "succeeded":
        sys.exit(f"task {task} {event['state']}: {event.get('code')} {event.get('detail')}")
    print(json.dumps(checked(json.load(read(f"/v1/tasks/{task}/result")), wrapper)))
except urllib.error.HTTPError as error:
    sys.exit(error.read().decode())
except urllib.error.URLError as error:
    sys.exit(f"{URL} cannot be reached: {error.reason}")
