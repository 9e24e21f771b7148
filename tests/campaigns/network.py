"""Attacks on the way to the tracking server: lost and cut requests, outages, broken uploads."""

import hashlib
import json
import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.tracking import deliver
from tests.campaigns.victim import STUDY_NAME, Victim

DELIVERIES = 60  # commands within which a server that fails one request in ten has everything
STALL_SECONDS = 1.0


def requests(victim: Victim, chance: random.Random, attempt: int) -> str:
    """One request in ten is lost, cut, answered with an error or late: nothing is missing or doubled."""
    home = victim.home("requests")
    victim.proxy.rate, victim.proxy.only = 0.1, ""
    try:
        code = victim.finish(home, uri=victim.proxy.uri)
        if code:
            return f"exit code {code}"
        deliveries = _deliver(victim, home)
    finally:
        victim.proxy.rate = 0.0
    victim.notes.append(f"{deliveries} more deliveries")
    if deliveries >= DELIVERIES:
        return "not delivered"
    return victim.compare(home, served=True) or _broken_models(victim, home)


def uploads(victim: Victim, chance: random.Random, attempt: int) -> str:
    """Six uploads of ten fail: every file comes, whole; no model is ready before its files are there."""
    home = victim.home("uploads")
    victim.proxy.rate, victim.proxy.only = 0.6, "PUT"
    try:
        code = victim.finish(home, uri=victim.proxy.uri)
        if code or (problem := _broken_models(victim, home)):
            return f"exit code {code}" if code else f"while it fails: {problem}"
        victim.proxy.rate = 0.2
        deliveries = _deliver(victim, home)
    finally:
        victim.proxy.rate, victim.proxy.only = 0.0, ""
    victim.notes.append(f"{deliveries} more deliveries")
    if deliveries >= DELIVERIES:
        return "not delivered"
    return victim.compare(home, served=True) or _broken_models(victim, home, at_least=1)


def outages(victim: Victim, chance: random.Random, attempt: int) -> str:
    """The server refuses or is silent from some moment on, the driver is killed meanwhile or not; then it is back."""
    home, killed = victim.home("outages"), chance.random() < 0.5
    away = chance.choice(["refusing", "silent"])
    moment = chance.uniform(0, 0.8) * victim.seconds
    usual = _seconds(victim, victim.folder / "again")["training"]
    process = victim.start(home, uri=victim.proxy.uri)
    try:
        process.join(moment)
        victim.proxy.away = away
        if killed:
            process.join(chance.uniform(0.2, 1.0) * victim.seconds)
            if process.exitcode is None:
                os.kill(process.pid or 0, signal.SIGKILL)
        process.join(300)
        if not killed:
            seconds = _seconds(victim, home)
            victim.notes.append(
                f"{away}: {seconds['training'] - usual:+.2f} s of {usual:.2f}, leaving {seconds['leaving']:.1f} s"
            )
    finally:
        victim.proxy.away = ""
    if process.exitcode not in (0, -signal.SIGKILL):
        return f"exit code {process.exitcode}"
    began = time.monotonic()
    code = victim.finish(home, uri=victim.proxy.uri)
    victim.notes.append(f"caught up in {time.monotonic() - began:.1f} s")
    return f"exit code {code}" if code else victim.compare(home, served=True) or _broken_models(victim, home)


def _deliver(victim: Victim, home: Path) -> int:
    """Deliver, as `harness sync` does, until the server has taken everything: how often that was necessary."""
    for count in range(DELIVERIES):
        problem = deliver.sync(
            LoadedStudy.open(Store(home), STUDY_NAME),
            tracking_uri=victim.proxy.uri,
            storage_url=deliver.default_storage_url(home),
        )
        if not problem:
            return count
    return DELIVERIES


def _broken_models(victim: Victim, home: Path, *, at_least: int = 0) -> str:
    """Models that the server calls ready, and whose weights are not the ones of the records."""
    store = Store(home)
    folds = [store.read_fold(key) for trial in store.read_trials(STUDY_NAME) for key in trial.folds]
    known = {fold.hashes["weights.safetensors"] for fold in folds if fold}
    with closing(sqlite3.connect(f"file:{victim.server.database}?mode=ro", uri=True)) as connection:
        ready = connection.execute("select artifact_location from logged_models where status = 2").fetchall()
    found = 0
    for (location,) in ready:
        folder = victim.server.artifacts / urlsplit(location).path.lstrip("/")
        document = folder / "data" / "model.json"
        if not document.is_file():
            return f"{location}: ready without its description"
        for member in json.loads(document.read_text())["folds"]:
            weights = folder / "data" / member["weights"]
            if not weights.is_file() or hashlib.sha256(weights.read_bytes()).hexdigest() != member["sha256"]:
                return f"{location}: ready without its weights"
            found += member["sha256"] in known
    return "" if found >= at_least else "no model is ready"


def _seconds(victim: Victim, home: Path) -> dict[str, float]:
    document: dict[str, float] = json.loads((victim.folder / f"{home.name}.{STUDY_NAME}.seconds").read_text())
    return document
