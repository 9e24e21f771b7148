"""Studies that are deleted: what goes, what stays, and what is finished after a kill or without MLflow."""

import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from harness.analysis import garbage
from harness.analysis.deletion import Deletion, Views, delete, finish, look, unfinished
from harness.errors import StoreError, UsageError
from harness.store.store import Store
from harness.tracking import mlflow_deletion, optuna_mirror
from harness.tracking.mlflow_tracker import MlflowTracker
from tests.killed import Killed, killed_after
from tests.tracking.registered import registered

NOWHERE = Views("http://127.0.0.1:1", "sqlite:////nowhere/optuna.db")


def here(store: Store) -> Views:
    return Views(f"sqlite:///{store.home / 'mlflow.db'}", f"sqlite:///{store.home / 'optuna.db'}")


def deleted(store: Store, *names: str, views: Views | None = None, with_registered: bool = False) -> Deletion:
    views = views or here(store)
    return delete(store, names, look(store, names, views), views, with_registered=with_registered)


def add_sibling(store: Store) -> None:
    """A study `other` that shares the first trial of `small`."""
    record = store.read_study("small")
    assert record is not None
    store.write_study(replace(record, name="other"))
    store.write_trial("other", store.read_trials("small")[0])


def test_a_study_goes_and_what_others_need_stays(tuned: Store) -> None:
    first, second = tuned.read_trials("small")
    add_sibling(tuned)
    stray = tuned.fold_folder("f" * 40)
    stray.mkdir()
    plan = look(tuned, ["small"], here(tuned))
    assert not plan.deleted and tuned.has_study("small") and [one.trials for one in plan.studies] == [2]
    done = deleted(tuned, "small")
    assert done.deleted and done.bytes >= plan.bytes > 0 and not done.unfinished and not unfinished(tuned)
    assert tuned.studies() == ["other"] and all(map(tuned.read_fold, first.folds))
    assert not any(tuned.fold_folder(key).exists() for key in second.folds)
    assert stray.exists(), "what no study needs is gc's"
    assert list((tuned.home / "data").iterdir()), "the other study's images"
    deleted(tuned, "other")
    assert not list((tuned.home / "data").iterdir()) and not (tuned.home / "deleted").exists()


def test_what_there_is_not_or_is_driven_is_refused(tuned: Store) -> None:
    with pytest.raises(UsageError, match=r"no study 'smal'.*did you mean 'small'"):
        look(tuned, ["small", "smal"], here(tuned))
    plan = look(tuned, ["small"], here(tuned))
    with tuned.driving("small"):
        with pytest.raises(StoreError, match="already being driven by process"):
            look(tuned, ["small"], here(tuned))
        with pytest.raises(StoreError, match="already being driven by process"):
            delete(tuned, ["small"], plan, here(tuned), with_registered=False)
    with tuned.in_use(), pytest.raises(StoreError, match="trains there"):
        deleted(tuned, "small")
    assert len(tuned.read_trials("small")) == 2


def test_folds_stay_while_another_study_is_driven(tuned: Store) -> None:
    add_sibling(tuned)
    _, second = tuned.read_trials("small")
    with Store(tuned.home).driving("other"):
        done = deleted(tuned, "small")
    assert done.kept_for == ("other",) and tuned.studies() == ["other"]
    assert {str(one.path) for one in garbage.leftovers(tuned)} == {
        str(tuned.fold_folder(key)) for key in second.folds
    }


def test_killed_after_any_change_the_same_command_goes_on(
    tuned: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for changes in range(1, 100):
        store = Store(Path(shutil.copytree(tuned.home, tmp_path / str(changes))))
        told.clear()
        try:
            with killed_after(changes) as counting:
                for module, name in ((mlflow_deletion, "delete_study"), (optuna_mirror, "remove")):
                    tell = counting(lambda *_, name=name, **__: told.append(name))
                    monkeypatch.setattr(module, name, tell)
                deleted(store, "small")
            break
        except Killed:
            is_there = store.has_study("small")
            assert len(store.read_trials("small")) == 2 * is_there, "whole, or gone"
        if is_there or unfinished(store):
            deleted(store, "small")
        assert set(told) == {"delete_study", "remove"}
        assert not store.study_folder("small").exists() and not unfinished(store)
        assert not list((store.home / "folds").iterdir()) and not list((store.home / "data").iterdir())
    assert changes > 10


def test_without_mlflow_it_is_taken_out_there_later(tuned: Store) -> None:
    done = deleted(tuned, "small", views=NOWHERE)
    assert tuned.studies() == [] and unfinished(tuned) == ["small"]
    assert "small: deleted here, and still shown elsewhere (MLflow at" in done.unfinished[0]
    assert finish(tuned, NOWHERE, ["another"]) == () and finish(tuned, NOWHERE) == done.unfinished
    assert finish(tuned, here(tuned)) == () and unfinished(tuned) == []


@pytest.mark.slow
def test_a_registered_model_stays_and_works_and_the_name_is_free(home: Path) -> None:
    study, client = registered(home)
    uri, name = f"sqlite:///{home / 'mlflow.db'}", study.record.name
    found = mlflow_deletion.shown(uri, study.record)
    assert (found.runs, found.models, found.registered) == (5, 2, (f"{name}/1",)) and found.bytes > 1000
    for _ in range(2):
        mlflow_deletion.delete_study(uri, study.record)
    assert str(client.get_model_version_by_alias(name, "champion").version) == "1"
    source = client.get_model_version_download_uri(name, "1")
    assert Path(mlflow.artifacts.download_artifacts(source, tracking_uri=uri), "champion.txt").exists()
    (experiment,) = client.search_experiments(filter_string="name LIKE '%registered%'")
    (model,) = client.search_logged_models([experiment.experiment_id])
    assert (model.name, model.status) == ("final", "READY")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["harness.level"] == "final" and client.get_experiment_by_name(name) is None
    tracker = MlflowTracker(uri, home=home)
    again = replace(study.loaded, record=replace(study.record, created=study.record.created + 1))
    tracker.deliver(again, final=True)
    assert tracker.count_runs(name) == {"study": 1, "trial": 1, "fold": 2}
    mlflow_deletion.delete_study(uri, study.record, with_registered=True)
    assert not client.search_registered_models() and len(client.search_experiments()) == 2
    assert tracker.count_runs(name)["trial"] == 1
