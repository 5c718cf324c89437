"""label_register.py FILE NODE COMMAND... - clients that overwrite and read
labels for as long as the command runs; its status is this one's.

Each label is a register that many clients set to values of their own and read,
with nothing between them but kctl. FILE gets what they were told
(test/linear/history.h): what a failed write did is unknown."""
import json
import subprocess
import sys
import threading
import time

path, node, *command = sys.argv[1:]
KEYS, WRITERS, READERS = ("a", "b"), 2, 2
ending = threading.Event()
lines = []


def kctl(*words):
    invoked = time.monotonic_ns()
    done = subprocess.run(("kctl", *words), stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    return invoked, time.monotonic_ns(), done


def note(client, kind, key, value, invoked, returned, ok):
    lines.append({"client": client, "kind": kind, "key": key, "value": value,
                  "invoke_ns": invoked, "return_ns": returned if ok else None,
                  "result": "ok" if ok else "unknown"})


def write(client):
    count = 0
    while not ending.is_set():
        key = KEYS[count % len(KEYS)]
        value = f"{client}-{count}"
        count += 1
        invoked, returned, done = kctl("node", "label", node, f"{key}={value}")
        note(client, "write", key, value, invoked, returned, done.returncode == 0)


def read(client):
    while not ending.is_set():
        invoked, returned, done = kctl("describe", "node", node, "-o", "json")
        if done.returncode == 0:
            labels = {label["key"]: label["value"]
                      for label in json.loads(done.stdout)["node"]["labels"]}
            for key in KEYS:
                note(client, "read", key, labels.get(key), invoked, returned, True)


threads = [threading.Thread(target=write if i < WRITERS else read, args=(i,))
           for i in range(WRITERS + READERS)]
for thread in threads:
    thread.start()
status = subprocess.call(command)
ending.set()
for thread in threads:
    thread.join()
with open(path, "w") as file:
    for line in lines:
        print(json.dumps(line), file=file)
sys.exit(status)
