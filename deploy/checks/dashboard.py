#!/usr/bin/env python3
"""Reads the dashboard with the types that Grafana generates from its own schema, and writes it again: what does
not come back is a key that Grafana does not know.   dashboard.py FILE"""

import json
import sys

from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def differences(ours, read, path="dashboard"):
    if isinstance(ours, dict) and isinstance(read, dict):
        for key, value in ours.items():
            if key in read:
                yield from differences(value, read[key], f"{path}.{key}")
            else:
                yield f"{path}.{key} is unknown"
    elif isinstance(ours, list) and isinstance(read, list) and len(ours) == len(read):
        for index, pair in enumerate(zip(ours, read)):
            yield from differences(*pair, f"{path}[{index}]")
    elif ours != read:
        yield f"{path} is read as {read!r}"


def overlaps(panels):
    cells = {}
    for panel in panels:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                other = cells.setdefault((x, y), panel["title"])
                if other != panel["title"] or x >= 24:
                    yield f"{panel['title']!r} lies over {other!r} or the edge"
                    return


def main(path):
    with open(path, encoding="utf-8") as file:
        dashboard = json.load(file)
    plugins.register_default_plugins()
    read = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=encoder.JSONEncoder))
    problems = [*differences(dashboard, read), *overlaps(dashboard["panels"])]
    print(*problems, f"{len(dashboard['panels'])} panels, {len(problems)} problems", sep="\n")
    return len(problems) > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
