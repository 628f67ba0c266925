"""A device with nothing but Python's standard library: device login, refresh, and a machine's cached token beside it."""

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

SERVER = os.environ["AUTH_SERVER"]
GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def post(path, fields, auth=None):
    """Posts a form as the requests library does, and gives the JSON whatever the status."""
    request = urllib.request.Request(SERVER + path, urllib.parse.urlencode(fields).encode())
    if auth:
        pair = base64.b64encode(":".join(auth).encode()).decode()
        request.add_header("Authorization", "Basic " + pair)
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        return json.load(refused)


def log_in(start, token, client, scope=None):
    """The device flow at the two addresses named."""
    fields = {"client_id": client}
    if scope:
        fields["scope"] = scope
    device = post(start, fields)
    print("code", device["user_code"], flush=True)
    pause = float(os.environ.get("PAUSE", device["interval"]))
    ends = time.time() + device["expires_in"]
    while time.time() < ends:
        time.sleep(pause)
        got = post(token, {"grant_type": GRANT, "device_code": device["device_code"], "client_id": client})
        if got.get("error") in ("authorization_pending", "slow_down"):
            continue
        if "error" in got:
            raise SystemExit("refused: " + got["error"])
        return got
    raise SystemExit("nobody came")


class Machine:
    """A client that acts for itself and asks for a token only when the last one is old."""

    def __init__(self, path, client, secret, scope):
        self.path, self.auth, self.scope = path, (client, secret), scope
        self.token, self.until = None, 0

    def bearer(self):
        if not self.token or time.time() + 30 >= self.until:
            got = post(self.path, {"grant_type": "client_credentials", "scope": self.scope}, self.auth)
            self.token, self.until = got["access_token"], time.time() + got["expires_in"]
        return self.token


def main():
    if sys.argv[1] == "machine":
        machine = Machine(sys.argv[2], os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"], sys.argv[3])
        first = machine.bearer()
        print(json.dumps({"token": first, "kept": machine.bearer() == first}))
        return
    start, token = sys.argv[2:4]
    client = os.environ["CLIENT_ID"]
    tokens = log_in(start, token, client, *sys.argv[4:5])
    again = post(token, {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": client})
    print("tokens", json.dumps({"first": tokens, "again": again}), flush=True)


main()
