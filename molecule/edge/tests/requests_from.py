"""Runs ON the client host: POSTs to the edge from many source addresses, each keeping its connection.

Argument: {"sources", "count", "seconds", "name"}: `count` requests altogether over at least `seconds`,
each source on a connection of its own, also when it is named twice.
Prints {"statuses": {status: n}, "slots": {slot: n}, "sample_429": {headers, body}, "took": seconds}.
"""

import collections
import http.client
import json
import pathlib
import ssl
import sys
import threading
import time

THREADS = 16
wanted = json.loads(sys.argv[1])
context = ssl.create_default_context(cafile="/etc/plumbline/ca.pem")
lock = threading.Lock()
statuses = collections.Counter()
slots = collections.Counter()
sample = {}
key = pathlib.Path("/etc/plumbline/load.env").read_text().strip().removeprefix("API_KEY=")
headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}


def ask(source, share):
    """The requests of one source address."""
    link = http.client.HTTPSConnection(
        wanted["name"], context=context, source_address=(source, 0), timeout=30
    )
    for _ in range(share):
        try:
            link.request("POST", "/v1/ids/smoke", body=b"{}", headers=headers)
            answer = link.getresponse()
            body = answer.read().decode()
            status = answer.status
        except (OSError, http.client.HTTPException) as error:
            link.close()
            answer, status, body = None, type(error).__name__, ""
        with lock:
            statuses[str(status)] += 1
            if answer is not None and status != 429:
                slots[answer.getheader("X-Plumbline-Slot") or "edge"] += 1
            if status == 429:
                sample.update(headers={k.lower(): v for k, v in answer.getheaders()}, body=body)
        time.sleep(wanted["seconds"] / share)
    link.close()


def work(mine):
    """The sources of one thread, one after the other."""
    for source, share in mine:
        ask(source, share)


each, over = divmod(wanted["count"], len(wanted["sources"]))
shares = [(source, each + (number < over)) for number, source in enumerate(wanted["sources"])]
shares = [(source, share) for source, share in shares if share]
began = time.monotonic()
threads = [threading.Thread(target=work, args=(shares[number::THREADS],)) for number in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
took = time.monotonic() - began
print(json.dumps({"statuses": statuses, "slots": slots, "sample_429": sample, "took": took}))
