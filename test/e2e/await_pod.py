"""await_pod.py NAME EXPRESSION SECONDS - wait until a pod is as wanted.

EXPRESSION is Python over `pod` (kctl's JSON), `status` (its status) and `phase`. What
the pod is now is asked once; from there on its events are followed, so
nothing in between is missed and nothing is polled. The pod is printed."""
import json
import subprocess
import sys

name, expression, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
condition = compile(expression, "condition", "eval")


def ready(pod):
    if not eval(condition, {"pod": pod, "status": pod["status"],
                            "phase": pod["status"]["phase"]}):
        return False
    print(json.dumps(pod))
    return True


pod = json.loads(subprocess.run(
    ["kctl", "describe", "pod", name, "-o", "json"],
    check=True, stdout=subprocess.PIPE).stdout)
if not ready(pod):
    events = subprocess.Popen(
        ["timeout", str(seconds), "kctl", "events", "-w", "--pod", pod["name"],
         "--after", str(pod["changed_index"]), "-o", "json"],
        stdout=subprocess.PIPE)
    last = pod
    for line in events.stdout:
        last = json.loads(line).get("pod") or last
        if ready(last):
            break
    else:
        sys.exit(f"waited in vain for {expression}: {json.dumps(last)}")
    events.terminate()
    events.wait()
