"""Write the store of an older honed, run in that honed's checkout: python make_store.py FILE.

store_dfbf1d0.db.gz holds what commit dfbf1d0 wrote, store_dfbf1d0.txt how its `honed list` showed
these records in a terminal of 200 columns.
"""

import dataclasses
import pathlib
import sys

sys.path[:0] = [".", "tests"]

from records import make_record, sweep_records  # noqa: E402

from honed.record import Accuracy  # noqa: E402
from honed.store import open_store  # noqa: E402

CALLS = 6  # of each instance: the file is to stay small


def shortened(record):
    samples = record.samples and dataclasses.replace(
        record.samples,
        latency_s=tuple(calls[:CALLS] for calls in record.samples.latency_s),
        completed_s=tuple(calls[:CALLS] for calls in record.samples.completed_s),
    )
    return dataclasses.replace(record, samples=samples)


def main(path):
    path.unlink(missing_ok=True)
    evaluated = make_record(
        {"precision": "int8", "allocator": "jemalloc", "memory": True, "inputs": "sst2"},
        calls=12,
        seed=9,
        accuracy=Accuracy("accuracy", 0.924, 0.919, 0.005, (0.001, 0.009), 0.01, 872, "sst2"),
    )
    records = [shortened(r) for r in (*sweep_records(), evaluated)]
    with open_store(str(path)) as store:
        sweep = store.add_sweep([r.to_case() for r in records], ["precision", "batch_size"])
        for record in records:
            store.append(record, sweep)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
