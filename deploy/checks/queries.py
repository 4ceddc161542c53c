#!/usr/bin/env python3
"""Holds the queries of the dashboard and of the alerts to what the service really exports.

    queries.py names METRICS      every metric, label and value that is asked for is in this answer of /metrics
    queries.py rules              all queries as a file of rules, for `promtool check rules`
    queries.py ask URL            every query, asked of a Prometheus that has scraped the service, has an answer
"""

import json
import re
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import promql_parser
import yaml

DEPLOY = Path(__file__).parent.parent
DASHBOARD = DEPLOY / "grafana/isovec.json"
ALERTS = DEPLOY / "prometheus/alerts.yaml"

# What Grafana puts in the place of its variables. `.*` stands for "all of them".
VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$job": ".*", "$instance": ".*"}
# Labels that Prometheus adds when it scrapes.
SCRAPED = {"job": "isovec", "instance": "localhost:8080"}


def panels(parent):
    for panel in parent.get("panels", []):
        yield panel
        yield from panels(panel)


def queries():
    """Where each query stands, and the query; those of the dashboard with its variables replaced."""
    found = []
    for panel in panels(json.loads(DASHBOARD.read_text())):
        for target in panel.get("targets", []):
            expr = target["expr"]
            for name, value in VARIABLES.items():
                expr = expr.replace(name, value)
            found.append((f"panel {panel['title']!r}, query {target['refId']}", expr))
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            found.append((f"alert {rule['alert']}", rule["expr"]))
    return found


def selectors(expr):
    """The selectors of a query, each with the labels that the aggregations around it keep."""
    found = []

    def visit(node, kept):
        match node:
            case promql_parser.VectorSelector():
                found.append((node, kept))
            case promql_parser.MatrixSelector():
                visit(node.vector_selector, kept)
            case promql_parser.AggregateExpr():
                modifier = node.modifier
                by = modifier is not None and modifier.type == promql_parser.AggModifierType.By
                visit(node.expr, kept | set(modifier.labels) if by else kept)
            case promql_parser.BinaryExpr():
                visit(node.lhs, kept)
                visit(node.rhs, kept)
            case promql_parser.Call():
                for argument in node.args:
                    visit(argument, kept)
            case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
                visit(node.expr, kept)

    visit(promql_parser.parse(expr), frozenset())
    return found


def series(text):
    """The series of an answer of /metrics: a name and its labels."""
    line = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*?)\})? \S+")
    label = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
    for found in filter(None, map(line.fullmatch, (row.split(" # ")[0] for row in text.splitlines()))):
        yield found["name"], SCRAPED | dict(label.findall(found["labels"] or ""))


def matches(labels, matcher):
    value = labels.get(matcher.name, "")
    match matcher.op:
        case promql_parser.MatchOp.Equal:
            return value == matcher.value
        case promql_parser.MatchOp.NotEqual:
            return value != matcher.value
        case promql_parser.MatchOp.Re:
            return re.fullmatch(matcher.value, value) is not None
        case promql_parser.MatchOp.NotRe:
            return re.fullmatch(matcher.value, value) is None


def names(metrics):
    exported = {"up": [SCRAPED]}
    for name, labels in series(Path(metrics).read_text()):
        exported.setdefault(name, []).append(labels)
    for where, expr in queries():
        for selector, kept in selectors(expr):
            of_name = exported.get(selector.name)
            if of_name is None:
                yield f"{where}: the service exports no {selector.name}"
                continue
            chosen = [labels for labels in of_name if all(matches(labels, m) for m in selector.matchers.matchers)]
            if not chosen:
                yield f"{where}: no series is chosen by {selector.prettify()}"
            for label in kept:
                if chosen and not any(label in labels for labels in chosen):
                    yield f"{where}: {selector.name} has no label {label}"


def rules():
    recorded = [{"record": f"query:number:{n}", "expr": expr} for n, (_, expr) in enumerate(queries())]
    return yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]})


def ask(url):
    for where, expr in queries():
        # An alert is silent while all is well.
        if where.startswith("alert"):
            continue
        query = urllib.parse.urlencode({"query": expr})
        with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=10) as answer:
            data = json.load(answer)["data"]
        if not data["result"]:
            yield f"{where}: no answer to {expr}"


def main(command, *args):
    if command == "rules":
        print(rules())
        return 0
    problems = list({"names": names, "ask": ask}[command](*args))
    print(*problems, f"{len(queries())} queries, {len(problems)} problems", sep="\n")
    return len(problems) > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
