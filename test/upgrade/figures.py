"""figures.py HISTORY STEPS COUNTS - how long no write was acknowledged around
each step; exit code 1 when something was lost, done twice or started again."""
import bisect
import json
import sys

history, steps, counts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with open(history, encoding="utf-8") as file:
    operations = [json.loads(line) for line in file]
acknowledged = sorted(o["return_ns"] for o in operations
                      if o["kind"] == "write" and o["result"] == "ok")
with open(steps, encoding="utf-8") as file:
    for line in file:
        begun, done, what = line.strip().split(" ", 2)
        low = max(bisect.bisect_left(acknowledged, int(begun)) - 1, 0)
        high = bisect.bisect_right(acknowledged, int(done)) + 1
        times = acknowledged[low:high]
        gap = max(b - a for a, b in zip(times, times[1:]))
        print(f"  {what:16} no write for {gap / 1e6:6.1f} ms")
print("  " + ", ".join(f"{key} {value}" for key, value in counts.items()))
sys.exit(counts["lost"] + counts["duplicated"] + counts["restarted"] > 0
         or counts["nodes_ready"] != counts["nodes"])
