"""Clients of `api_against_pgbench.py`: PORT SECONDS CLIENTS LIST, the token on stdin; the rate and the waits as JSON.

LIST transfers a request, or 1 for a single one, which is no list.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time


async def _client(port: int, token: str, number: int, size: int, end: float, waits: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    draw = random.Random(time.monotonic_ns() + number)
    head = (
        f"POST /api/v1/transfers HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\n"
    )
    while (started := time.perf_counter()) < end:
        moves = ",".join([_move(draw) for _ in range(size)])
        body = moves if size == 1 else f'{{"transfers":[{moves}]}}'
        key = f"{number}-{time.monotonic_ns()}"
        writer.write(f"{head}Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 201 "), answer
        length = answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        waits.append(time.perf_counter() - started)
    writer.close()


def _move(draw: random.Random) -> str:
    source, target = draw.sample(range(10_000), 2)
    amount = f"{draw.randrange(1, 100_000) / 100:.2f}"
    return f'{{"from":"customers:{source:06d}","to":"customers:{target:06d}","amount":"{amount}"}}'


async def _clients(port: int, token: str, seconds: float, clients: int, size: int) -> dict[str, object]:
    waits: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(_client(port, token, number, size, began + seconds, waits) for number in range(clients)))
    return {"rate": size * len(waits) / (time.perf_counter() - began), "waits": waits}


def main() -> None:
    port, seconds, clients, size = sys.argv[1:]
    answer = asyncio.run(_clients(int(port), sys.stdin.read(), float(seconds), int(clients), int(size)))
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
