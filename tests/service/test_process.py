"""`isovec serve` as a process: its end under load, its log, its limits, its metrics."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import ISOVEC, MOCK, MODEL, PNG


class Load:
    """Clients that ask until the service is gone. Nothing is tried again."""

    def __init__(self, service, clients: int, keep: bool):
        self.service, self.keep = service, keep
        self.answered, self.lost, self.refused = 0, [], 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=[i]) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, client: int):
        connection = None
        for number in range(1_000_000):
            fresh = connection is None
            try:
                if fresh:
                    connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=60)
                    connection.connect()
            except OSError:
                with self.lock:
                    self.refused += 1
                return
            body = json.dumps({"model": MODEL, "input": [f"{client} {number}", "b"]})
            try:
                connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = json.loads(response.read())
                assert response.status == 200 and len(answer["data"]) == 2, answer
            except (http.client.HTTPException, OSError, ValueError, AssertionError) as e:
                with self.lock:
                    self.lost.append((fresh, repr(e)))
                return
            with self.lock:
                self.answered += 1
            if not self.keep or response.getheader("Connection") == "close":
                connection.close()
                connection = None

    def join(self):
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("keep", [True, False], ids=["kept connections", "a connection each"])
@pytest.mark.parametrize("config", ["models: {}\n", MOCK], ids=["model", "mock"])
def test_sigterm_under_load_loses_nothing(start, config, keep):
    service = start(config)
    load = Load(service, 24, keep)
    time.sleep(2)
    service.terminate()
    assert service.process.wait(timeout=60) == 0, service.log()[-3000:]
    load.join()
    assert load.answered > 24
    # What the service says it answered was received, every byte of it; so nothing it had accepted was lost.
    logged = len(re.findall(r"route=\"?/v1/embeddings\"? status=200", service.log()))
    assert load.answered == logged
    assert "status=499" not in service.log()
    # A connection that was kept never breaks under a request. One that is new may be refused, which the system
    # does, for a service that does not listen any more.
    assert [e for fresh, e in load.lost if not fresh] == []
    if keep:
        assert load.lost == [] and load.refused == 24


def test_a_second_signal_ends_at_once(start):
    service = start("models: {}\nserver: { read_timeout: 60s }\n")
    connection = socket.create_connection(("127.0.0.1", service.port))
    connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{")
    time.sleep(0.3)
    service.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert service.process.poll() is None, "it waits for what was asked"
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(timeout=10) == 130


def test_wrong_arguments_are_told(tmp_path):
    def run(*arguments):
        done = subprocess.run([ISOVEC, "serve", *arguments], capture_output=True, timeout=60)
        return done.returncode, done.stderr.decode()

    code, says = run("--listen", "nowhere")
    assert code == 2 and "--listen" in says
    code, says = run("--config", str(tmp_path / "none.yaml"))
    assert code == 1 and "none.yaml" in says
    (tmp_path / "bad.yaml").write_text("server: { max_inputs: many }\n")
    code, says = run("--config", str(tmp_path / "bad.yaml"))
    assert code == 1 and "server.max_inputs" in says
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, says = run("--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        assert code == 1 and "cannot listen on" in says


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_of_a_request_is_logged(start, log_format):
    secret = "SECRET-4711"
    service = start(MOCK + f"server: {{ log_format: {log_format}, api_keys: [{secret}-long-enough-key] }}\n")
    key = {"Authorization": f"Bearer {secret}-long-enough-key"}
    requests = [
        ("POST", "/v1/embeddings", {"model": MODEL, "input": secret}, key, 200),
        ("POST", f"/v1/embeddings?{secret}", {"model": MODEL, "input": secret}, key, 200),
        ("POST", "/v1/embeddings", {"model": secret, "input": secret}, key, 404),
        ("POST", "/v1/embeddings", {"model": MODEL, "input": secret, secret: 1}, key, 400),
        ("POST", "/v1/embeddings", {"model": MODEL, "input": {secret: 1}}, key, 400),
        ("POST", "/v1/embeddings", {"model": MODEL, "input": secret, "dimensions": secret}, key, 400),
        ("POST", "/v1/embeddings", {"model": MODEL, "input": secret * 200_000}, key, 413),
        ("POST", "/v1/embeddings", {"model": MODEL, "input": secret}, {"Authorization": f"Bearer {secret}"}, 401),
        ("POST", "/embed", {"inputs": secret, "prompt_name": secret}, key, 422),
        ("POST", "/v1/images/embeddings", {"input": [PNG, secret]}, key, 400),
        ("POST", "/v1/images/embeddings", {"input": f"https://a.example/?{secret}"}, key, 400),
        ("POST", "/v1/multimodal/embeddings", {"input": [{"text": secret}]}, key, 200),
        ("GET", f"/{secret}", None, key, 404),
        ("GET", f"/v1/models/{secret}", None, key, 404),
        (secret, "/v1/models", None, key, 405),
        ("GET", "/v1/models", None, {**key, "x-request-id": f"{secret} with blanks"}, 200),
    ]
    for method, path, body, headers, status in requests:
        got, _, answer = service.request(method, path, body, headers)
        assert got == status, (method, path, answer)
    metrics = service.get("/metrics")[2].decode()
    assert service.end() == 0
    log = service.log()
    assert secret not in log and secret not in metrics
    if log_format == "json":
        lines = [json.loads(line) for line in log.splitlines()]
        asked = [line for line in lines if line.get("message") == "request" and line["route"] == "/v1/embeddings"]
        first = asked[0]
        assert (first["method"], first["status"], first["model"], first["inputs"]) == ("POST", 200, MODEL, 1)
        assert first["duration_ms"] > 0 and first["tokens"] == 3 and first["bytes_in"] > 0 and first["request_id"]
        assert [line["status"] for line in asked] == [200, 200, 404, 400, 400, 400, 413, 401]


def test_a_client_that_goes_away_takes_its_work_along(start):
    service = start("text_embedding: { worker_count: 1 }\ncache: { enabled: false }\n")
    body = json.dumps({"model": MODEL, "input": [f"{i} " + "word " * 500 for i in range(400)]})
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
    gone = 'isovec_http_requests_total{route="/v1/embeddings",status="499"} 1'
    time.sleep(1)
    assert gone not in service.get("/metrics")[2].decode()
    connection.close()
    # Its 400 texts take a minute or so; one of somebody else does not wait for them.
    start_time = time.monotonic()
    assert service.post("/v1/embeddings", {"model": MODEL, "input": "next"})[0] == 200
    assert time.monotonic() - start_time < 10
    assert gone in service.get("/metrics")[2].decode()


def test_metrics_are_what_prometheus_expects(mock):
    mock.post("/v1/embeddings", {"model": MODEL, "input": ["a", "b"]})
    mock.post("/v1/embeddings", {"model": MODEL, "input": ["a"]})
    text = mock.get("/metrics")[2]
    done = subprocess.run(
        [os.environ["PROMTOOL"], "check", "metrics"], input=text, capture_output=True, timeout=60
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
