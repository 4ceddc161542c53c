"""Runs `isovec serve` as people run it: a process, a configuration file, a port."""

import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

ISOVEC = os.environ["ISOVEC"]
MODEL = "all-MiniLM-L6-v2"
IMAGE_MODEL = "clip-vit-base-patch32"
# One pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"


class Service:
    """A running `isovec serve`."""

    def __init__(self, folder: pathlib.Path, config: str):
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "isovec.yaml"
        file.write_text(config)
        self.log_file = folder / "stderr.log"
        # A test must never reach for the network.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ISOVEC__")}
        environment["ISOVEC_OFFLINE"] = "1"
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [ISOVEC, "serve", "--config", str(file), "--listen", "127.0.0.1:0"],
                stderr=log, stdout=subprocess.PIPE, env=environment,
            )
        self.port = int(self._wait_for(r"http://127\.0\.0\.1:(\d+)", "it does not listen"))
        self.url = f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def _wait_for(self, pattern: str, message: str) -> str:
        for _ in range(600):
            found = re.search(pattern, self.log())
            if found:
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"{message}: {self.log()}")

    def until_ready(self) -> "Service":
        for _ in range(600):
            assert self.process.poll() is None, self.log()
            if self.get("/health/ready")[0] == 200:
                return self
            time.sleep(0.1)
        raise AssertionError(f"not ready: {self.get('/health/ready')}\n{self.log()}")

    def request(self, method: str, path: str, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            data = json.dumps(body) if body is not None else None
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def get(self, path: str):
        return self.request("GET", path)

    def post(self, path: str, body):
        return self.request("POST", path, body)

    def metric(self, name: str) -> float:
        """The sum of all of a metric's lines, whatever their labels."""
        text = self.get("/metrics")[2].decode()
        lines = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, lines))

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> int:
        """Its exit code."""
        if self.process.poll() is None:
            self.terminate()
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """start(config) gives a service that is ready; all are ended with the tests."""
    running = []

    def start(config: str) -> Service:
        service = Service(tmp_path_factory.mktemp("service"), config)
        running.append(service)
        return service.until_ready()

    yield start
    for service in running:
        service.process.kill()
        service.process.wait()


@pytest.fixture(scope="session")
def real(start) -> Service:
    """MiniLM, with all defaults."""
    return start("models: {}\n")


@pytest.fixture(scope="session")
def mock(start) -> Service:
    """Stand-ins for a model of texts and one of images: answers at once."""
    return start(MOCK)


MOCK = f"""
development: {{ mock_mode: true }}
models:
  {MODEL}: {{}}
  {IMAGE_MODEL}: {{}}
text_embedding: {{ default_model: {MODEL} }}
"""
