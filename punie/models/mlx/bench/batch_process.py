"""The process in which several sessions are measured with OpenBLAS: prints the speeds as JSON."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import anyio

from punie.models.blas import prefer_fast_blas

_THREADS = 2


def main() -> int:
    """Measure the model in the directory that is named; 1 where there is no OpenBLAS."""
    report = prefer_fast_blas(_THREADS)  # before MLX is loaded
    if not report.active:
        print(report.detail, file=sys.stderr)
        return 1
    from punie.models.mlx.bench.batch import BatchSpeeds, batch_speeds
    from punie.models.mlx.engine import Engine

    async def measure() -> BatchSpeeds:
        engine = Engine()
        try:
            await engine.load(Path(sys.argv[1]))
            return await batch_speeds(engine, lambda _: None)
        finally:
            await engine.aclose()

    print(json.dumps(asdict(anyio.run(measure))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
