#!/usr/bin/env python3
"""Asks a running service for vectors, and holds them to those that `isovec embed` printed; then sends requests
that it must refuse.   embeddings.py URL TEXTS VECTORS     TEXTS: a JSON list; VECTORS: what was printed, JSON lines"""

import json
import sys
import urllib.error
import urllib.request


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def main(url, texts, vectors):
    texts = json.loads(texts)
    with open(vectors, encoding="utf-8") as file:
        expected = [json.loads(line)["embedding"] for line in file]
    # The second time they come from the cache.
    for _ in range(2):
        status, answer = post(f"{url}/v1/embeddings", {"model": "all-MiniLM-L6-v2", "input": texts})
        assert status == 200, answer
        assert [item["embedding"] for item in answer["data"]] == expected, "other vectors than `isovec embed` gives"
    status, answer = post(f"{url}/v1/embeddings", {"model": "nobody", "input": texts})
    assert status == 404, (status, answer)
    status, answer = post(f"{url}/v1/embeddings", {"model": "all-MiniLM-L6-v2", "input": 7})
    assert status == 400, (status, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
