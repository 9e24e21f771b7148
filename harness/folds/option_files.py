"""Files that a trial's values name, like `model.weights: clip.pt`: an input of a fold, beside the name.

Which options may name one a model says (`signatures.NamesFile`). A study and a key have the name as it is written, and
the key the file's hash; the study's record has the hash and the place that each had when it began.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.config.settings import expanded
from harness.config.study_file import Study
from harness.errors import CheckFailed
from harness.records import Values

Files = dict[str, dict[str, dict[str, str]]]  # dotted name of the option -> its value -> "sha256" and "place"


def named_by(study: Study) -> Files:
    """The files that the values of a study name, as they are now; what names no file there is is left out."""
    return {
        option: {
            text: {"sha256": _sha256(Path(place)), "place": place}
            for text, place in texts.items()
            if Path(place).is_file()
        }
        for option, texts in study.places.items()
    }


def known_to(provenance: Mapping[str, Any]) -> Files:
    """The files that a study began with; none for one of a release that did not write them down."""
    return dict(provenance.get("files", {}))


def gone_on(known: Files, now: Files) -> Files:
    """What a study that goes on has in its record: hashes as it began, places and files that came later as of now."""
    return {
        option: {
            **now.get(option, {}),
            **{
                text: {**file, **now.get(option, {}).get(text, {}), "sha256": file["sha256"]}
                for text, file in known.get(option, {}).items()
            },
        }
        for option in {**known, **now}
    }


def changes(known: Files, study: Study) -> Iterator[str]:
    """Which files of a study are others than when it began, a line each."""
    now = named_by(study)
    for option, texts in known.items():
        for text, before in texts.items():
            if text not in study.places.get(option, {}):  # another value: the study's definition differs
                continue
            after = now[option].get(text)
            if after is None:
                yield f"{option}   there is no file {study.places[option][text]} any more"
            elif after["sha256"] != before["sha256"]:
                yield f"{option}   file changed (sha256 {before['sha256'][:12]} -> {after['sha256'][:12]}): {text}"


def hashes(files: Files, values: Values) -> dict[str, str]:
    """SHA-256 of the files that a trial's values name, by the values' names."""
    return {option: file["sha256"] for option, file in _of(files, values)}


def places(files: Files, values: Values) -> dict[str, str]:
    """Where those files are."""
    return {option: file["place"] for option, file in _of(files, values)}


def located(values: Values, files: Mapping[str, str], places: Mapping[str, str]) -> Values:
    """The values with the paths under which the files are found here.

    files: their SHA-256.   places: where they should be; else, where the values say.
    Raises CheckFailed for one that is not there, or another.
    """
    found = dict(values)
    for option, expected in files.items():
        paths = [Path(places[option])] if option in places else []
        paths.append(expanded(Path(str(values[option]))))
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise CheckFailed(
                f"{option}: the file that the fold is to be trained with is not here: {paths[0]}"
            )
        if (here := _sha256(path)) != expected:
            raise CheckFailed(
                f"{option}: {path} is another file than the fold is to be trained with (its SHA-256 begins with "
                f"{here[:12]}, not {expected[:12]}): put the old one back, or run a new study with --as NAME"
            )
        found[option] = str(path)
    return found


def _of(files: Files, values: Values) -> Iterator[tuple[str, dict[str, str]]]:
    for option, texts in files.items():
        if (text := str(values.get(option))) in texts:
            yield option, texts[text]


def _sha256(path: Path) -> str:
    from harness.models.weights import sha256  # loads torch

    return sha256(path)
