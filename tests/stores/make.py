"""python -m tests.stores.make [FILE]     makes the small store that later releases must still open: store_v1.tar.xz

Two studies on a fifth of the digits: `finished`, with all findings, and `interrupted`, after one of the four epochs of
its second trial's first fold. Only records, arrays, weights and one checkpoint are kept: no databases.
"""

import sys
import tarfile
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from harness.analysis.final import final
from harness.analysis.readiness import Request
from harness.config.study_file import Study, load_study_file
from harness.data import test_set
from harness.folds.processes import InlineExecutor
from harness.folds.tasks import make_tasks
from harness.prepare import prepare
from harness.records import SCHEMA
from harness.search.driver import Driver, EpochEnded
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store

YEAR_2000 = 946_684_800  # zip files, which bundles are, know no time before 1980
STUDY = """\
# Do the stores of old releases still open?
data: {name: digits, test_fraction: 0.8}
model: {name: resnet, depth: 1, blocks: 1, width: 4, dropout: [0.0, 0.3]}
train: {epochs: 4, batch_size: 16, lr: 0.1, augment: none}
cv: {folds: 2}
search: {trials: 2, sampler: grid, racing: none}
compute: {device: cpu, precision: fp32}
"""


def driver_of(study: Study, store: Store) -> Driver:
    """The driver of a study, new or begun, which tells nobody; its executor is to be closed."""
    record, workplace = prepare(study, store, study.name)
    kept = {
        **record.provenance,
        "diff": "",
        "untracked": [],
        "user": "",
    }  # of a checkout that is nobody's business
    store.write_study(replace(record, provenance=kept))
    tasks = make_tasks(
        study, data_hash=record.data["hash"], split_hash=record.split_hash, compute=record.compute
    )
    return Driver(study, store, study.name, InlineExecutor(workplace), tasks, record.num_trials)


def make(folder: Path) -> Store:
    """The store, with both studies."""
    store = Store(folder / "home")
    for name in ("finished", "interrupted"):
        (folder / f"{name}.yaml").write_text(STUDY, encoding="utf-8")
        # Other seeds, or one study would find its folds in the other.
        study = load_study_file(str(folder / f"{name}.yaml"), [f"search.seed={len(name)}"])
        driver = driver_of(study, store)
        with closing(driver.executor), closing(driver.run()) as events:  # type: ignore[type-var]
            for event in events:
                if name == "interrupted" and isinstance(event, EpochEnded) and event.number == 1:
                    break
    list(final(LoadedStudy.open(store, "finished"), Request(top=1)))
    test_set.opened = False
    return store


def pack(store: Store, target: Path) -> None:
    """Everything that is not of this machine, without its owner and times."""
    with tarfile.open(target, "w:xz", preset=9) as archive:
        for path in sorted(store.home.rglob("*")):
            if path.is_file() and path.name not in ("lock", "ledger.lock", "holder.json"):
                entry = tarfile.TarInfo(str(path.relative_to(store.home)))
                entry.size, entry.mtime = path.stat().st_size, YEAR_2000
                with path.open("rb") as file:
                    archive.addfile(entry, file)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name(f"store_v{SCHEMA}.tar.xz"))
    with tempfile.TemporaryDirectory(prefix="harness-store-") as scratch:
        pack(make(Path(scratch)), target)
    print(f"{target}: {target.stat().st_size:,} bytes")
