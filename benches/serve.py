"""Loads `isovec serve` with h2load, a load generator, and prints what came of it: requests per second and latencies at 1, 8
and 64 connections, computed and cached, and what happens at ten times the capacity.

Run by scripts/bench_serve, which installs what is needed."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from datetime import date
from pathlib import Path

CONNECTIONS = (1, 8, 64)
# About as many tokens as a question that is searched for.
TEXT = "how do I get my money back for an order that never arrived"


def main() -> None:
    arguments = parse()
    result = {"machine": machine(), "rows": []}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, Path(folder))
        for name, config, redis in (
            ("computed", {"cache": {"enabled": False}}, False),
            ("memory hit", {}, False),
            ("Redis hit", {"cache": {"memory_bytes": 0}}, True),
        ):
            result["rows"] += bench.throughput(name, config, redis)
        result["hits"] = bench.hits()
        result["batches"] = bench.batches()
        result["overload"] = bench.overload()
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.svg:
        from plot_serve import plot

        arguments.svg.write_text(plot(result))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--isovec", type=Path, required=True, help="the program")
    parser.add_argument("--hits", type=Path, required=True, help="the program bench-hits")
    parser.add_argument("--seconds", type=int, default=15, help="for each row")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--svg", type=Path)
    return parser.parse_args()


class Bench:
    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.isovec, self.seconds, self.folder = arguments.isovec, arguments.seconds, folder
        self.hits_program = arguments.hits

    def throughput(self, name: str, config: dict, redis: bool) -> list[dict]:
        rows = []
        with contextlib.ExitStack() as stack:
            if redis:
                config = config | {"redis_hot": {"addr": stack.enter_context(redis_server(self.folder))}}
            service = stack.enter_context(self.service(config))
            body = self.body({"model": "all-MiniLM-L6-v2", "input": TEXT})
            for connections in CONNECTIONS:
                self.load(service, body, connections, 2)
                before = service.cpu_seconds()
                answers = self.load(service, body, connections, self.seconds)
                spent = service.cpu_seconds() - before
                took = [took for took, status in answers if status == 200]
                rows.append(
                    {
                        "name": name,
                        "connections": connections,
                        "requests_per_second": len(took) / self.seconds,
                        "p50_ms": percentile(took, 50),
                        "p99_ms": percentile(took, 99),
                        "cpu_seconds_per_1000": 1e3 * spent / len(took),
                        "resident_mib": service.resident_mib(),
                        "not_answered": len(answers) - len(took),
                    }
                )
                say(rows[-1])
        return rows

    def hits(self) -> dict:
        """Without HTTP, in the process that asks: microseconds at the median and the 99th percentile."""
        with redis_server(self.folder) as address:
            done = subprocess.run([self.hits_program, address], check=True, capture_output=True, text=True)
        result = json.loads(done.stdout)
        # The warm-up's 32, or a few more where Redis was slower to write than it to ask again.
        say(result)
        return result

    def batches(self) -> dict:
        """Texts a second in requests of 32."""
        with self.service({"cache": {"enabled": False}}) as service:
            body = self.body({"model": "all-MiniLM-L6-v2", "input": [f"{i} {TEXT}" for i in range(32)]})
            self.load(service, body, 4, 2)
            before = service.cpu_seconds()
            took = [took for took, status in self.load(service, body, 4, self.seconds) if status == 200]
            spent = service.cpu_seconds() - before
        texts = 32 * len(took)
        return {
            "texts_per_second": texts / self.seconds,
            "p50_ms": percentile(took, 50),
            "cpu_seconds_per_million_texts": 1e6 * spent / texts,
        }

    def overload(self) -> dict:
        """Ten times the capacity, whose requests come when they come, not when others are answered."""
        # One worker: the other core is the load generator's, and the server's for saying no.
        workers = {"text_embedding": {"worker_count": 1}, "image_embedding": {"worker_count": 1}}
        body = self.body({"model": "all-MiniLM-L6-v2", "input": TEXT})
        with self.service(workers | {"cache": {"enabled": False}}) as service:
            self.load(service, body, 1, 2)
            alone = self.load(service, body, 1, self.seconds)
            capacity = len(alone) / self.seconds
        unloaded = percentile([took for took, _ in alone], 99)
        delay = {"performance": {"max_queue_delay": f"{max(1, int(unloaded / 2))}ms"}}
        with self.service(workers | delay | {"cache": {"enabled": False}}) as service:
            self.load(service, body, 1, 2)
            flood, seconds = self.flood(service, body, 10 * capacity)
        accepted = [took for took, status in flood if status == 200]
        rejected = [took for took, status in flood if status == 429]
        result = {
            "capacity_per_second": capacity,
            "asked_per_second": len(flood) / seconds,
            "accepted_per_second": len(accepted) / seconds,
            "rejected": len(rejected),
            "others": len(flood) - len(accepted) - len(rejected),
            "unloaded_p50_ms": percentile([took for took, _ in alone], 50),
            "unloaded_p99_ms": unloaded,
            "accepted_p50_ms": percentile(accepted, 50),
            "accepted_p99_ms": percentile(accepted, 99),
            "rejected_p50_ms": percentile(rejected, 50),
            "rejected_p99_ms": percentile(rejected, 99),
            "max_queue_delay": delay["performance"]["max_queue_delay"],
        }
        say(result)
        return result

    def body(self, content: dict) -> Path:
        path = self.folder / "body.json"
        path.write_text(json.dumps(content))
        return path

    def load(self, service: Service, body: Path, connections: int, seconds: int) -> list[tuple[float, int]]:
        """Milliseconds and status of every request that was answered within `seconds`."""
        log = self.folder / "requests.tsv"
        command = h2load(service, body, log, f"-c{connections}", f"-D{seconds}")
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return answers(log)

    def flood(self, service: Service, body: Path, per_second: float) -> tuple[list[tuple[float, int]], float]:
        """Sends at a rate of its own, whatever is answered. The clients of one h2load send in step, and so would fill
        the queue in bursts: these are 64 of one client, which start at moments of their own.

        Gives what was sent while all of them did, and how long that was."""
        clients = 64
        chance = random.Random(17)
        with contextlib.ExitStack() as running:
            logs = []
            for client in range(clients):
                logs.append(self.folder / f"requests-{client}.tsv")
                rate = f"--rps={per_second / clients:.3f}"
                command = h2load(service, body, logs[-1], "-c1", f"-D{self.seconds}", rate)
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
                running.callback(process.wait)
                time.sleep(chance.uniform(0, 0.1))
        rows = [[(int(start) / 1e6, int(status), int(took) / 1e3) for start, status, took in fields(log)] for log in logs]
        first, last = max(row[0][0] for row in rows), min(row[-1][0] for row in rows)
        return [(took, status) for row in rows for start, status, took in row if first <= start <= last], last - first

    def service(self, config: dict) -> contextlib.AbstractContextManager[Service]:
        return Service.running(self.isovec, config, self.folder)


class Service:
    def __init__(self, process: subprocess.Popen, url: str) -> None:
        self.process, self.url = process, url

    @staticmethod
    @contextlib.contextmanager
    def running(isovec: Path, config: dict, folder: Path):
        port = free_port()
        file = folder / "isovec.yaml"
        # JSON is YAML.
        file.write_text(json.dumps(config | {"server": {"listen": f"127.0.0.1:{port}"}}))
        log = (folder / "isovec.log").open("w")
        process = subprocess.Popen([isovec, "serve", "--config", file], stderr=log)
        service = Service(process, f"http://127.0.0.1:{port}")
        try:
            service.wait()
            yield service
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def wait(self) -> None:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health/ready", timeout=5):
                return
            time.sleep(0.1)
        raise SystemExit("the service does not become ready")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise SystemExit("no VmRSS")


def h2load(service: Service, body: Path, log: Path, *how: str) -> list[str | Path]:
    log.unlink(missing_ok=True)
    command = ["h2load", "--h1", *how, f"--log-file={log}", "-d", body, "-H", "content-type: application/json"]
    return [*command, f"{service.url}/v1/embeddings"]


def answers(log: Path) -> list[tuple[float, int]]:
    return [(int(took) / 1e3, int(status)) for _, status, took in fields(log)]


def fields(log: Path) -> list[list[str]]:
    """When each request was sent (microseconds of the clock), its status, and how long it took (microseconds)."""
    return [line.split("\t")[:3] for line in log.read_text().splitlines()]


@contextlib.contextmanager
def redis_server(folder: Path):
    port = free_port()
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", folder, "--logfile", "redis.log"]
    process = subprocess.Popen(command)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def percentile(values: list[float], p: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))] if ordered else float("nan")


def machine() -> dict:
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return {"cpu": cpu, "cores": os.cpu_count(), "date": date.today().isoformat()}


def say(row: dict) -> None:
    print(json.dumps(row), flush=True)


def table(result: dict) -> str:
    out = ["", "| | connections | requests/s | p50 | p99 | CPU time for 1,000 |", "|---|---:|---:|---:|---:|---:|"]
    for row in result["rows"]:
        out.append(
            f'| {row["name"]} | {row["connections"]} | {row["requests_per_second"]:,.0f} | {row["p50_ms"]:.2f} ms '
            f'| {row["p99_ms"]:.2f} ms | {row["cpu_seconds_per_1000"]:.2f} s |'
        )
    batches, over, hits = result["batches"], result["overload"], result["hits"]
    out += ["", "| in process | p50 | p99 |", "|---|---:|---:|"]
    for key, name in (
        ("memory", "1 text from memory"),
        ("memory_32", "32 texts from memory"),
        ("redis", "1 text from Redis"),
        ("redis_32", "32 texts from Redis"),
    ):
        out.append(f"| {name} | {hits[key][0]:,.1f} µs | {hits[key][1]:,.1f} µs |")
    out += [
        "",
        f'In requests of 32 texts: {batches["texts_per_second"]:,.0f} texts/s, '
        f'{batches["cpu_seconds_per_million_texts"] / 3600:.1f} hours of CPU time for a million.',
        "",
        f'With max_queue_delay: {over["max_queue_delay"]}, at {over["asked_per_second"]:,.0f} requests/s, of which {over["capacity_per_second"]:,.0f} can be done: '
        f'{over["accepted_per_second"]:,.0f} accepted, p99 {over["accepted_p99_ms"]:.1f} ms '
        f'(unloaded {over["unloaded_p99_ms"]:.1f} ms); the others got 429, p50 {over["rejected_p50_ms"]:.2f} ms, '
        f'p99 {over["rejected_p99_ms"]:.2f} ms; {over["others"]} anything else.',
    ]
    return "\n".join(out)


if __name__ == "__main__":
    main()
