"""What the server answers to programs: one image, many, what they choose, the OpenAPI document, the counters."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.inference.web.service import Asked, Seen, Service
from tests.inference.made_up_models import CLASSES, made, noise
from tests.inference.web_server import Running, png


def form(*files: tuple[str, bytes]) -> tuple[bytes, str]:
    """The body of a form with these files, and its content type."""
    parts = [
        b'--xyz\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in files
    ]
    return b"".join(parts) + b"--xyz--\r\n", "multipart/form-data; boundary=xyz"


def test_a_second_image_of_a_form_is_not_passed_over(running: Running) -> None:
    body, kind = form(("a.png", png(noise(1)[0])), ("b.png", png(noise(2)[1])))
    status, answer, _ = running.ask("POST", "/predict", body, Content_Type=kind)
    assert status == 400
    assert answer["error"] == "the form has 2 images; /predict takes one, /predict/batch takes many"


def test_a_batch_is_answered_image_by_image_in_order(running: Running) -> None:
    images = noise(70)
    files = [(f"{number}.png", png(pixels)) for number, pixels in enumerate(images)]
    files.insert(40, ("bad <b>.png", b"no image"))
    files.insert(50, ("large.png", bytes(100_001)))
    body, kind = form(*files)
    running.again(batch_bytes=1_000_000)
    status, answer, _ = running.ask("POST", "/predict/batch", body, Content_Type=kind)
    assert status == 200 and [row["name"] for row in answer["images"]] == [name for name, _ in files]
    assert answer["images"].pop(50) == {
        "name": "large.png", "prediction": None, "error": "a file may have 100,000 bytes",
    }  # fmt: skip
    bad = answer["images"].pop(40)
    assert bad["prediction"] is None and bad["error"] == "not an image of a known format"
    expected = made("resnet", 2).predict(images)
    for row, probabilities in zip(answer["images"], expected, strict=True):
        found = row["prediction"]
        assert list(found["probabilities"].values()) == pytest.approx(probabilities.tolist(), abs=2e-6)
        assert row["error"] is None and found["where"] is None and found["similar"] == []
        assert found["label"] == CLASSES[probabilities.argmax()]


def test_more_images_than_a_batch_may_have_are_refused(running: Running) -> None:
    running.again(batch_images=3)
    body, kind = form(*[("a.png", png(noise(1)[0]))] * 4)
    status, answer, _ = running.ask("POST", "/predict/batch", body, Content_Type=kind)
    assert (status, answer["error"]) == (
        400, "the form cannot be read: Too many files. Maximum number of files is 3.",
    )  # fmt: skip


def test_who_asks_chooses_what_is_said(running: Running) -> None:
    image = png(noise(5)[3])
    whole = running.ask("POST", "/predict", image)[1]
    plain = running.ask("POST", "/predict?explain=false&similar=0", image)[1]
    assert plain == whole | {"where": None, "similar": []}
    assert running.ask("POST", "/predict?explain=false", image)[1] == whole | {"where": None}
    most = max(whole["probabilities"].values())
    for threshold, label in ((most - 1e-3, whole["label"]), (most + 1e-3, "unsure")):
        found = running.ask("POST", f"/predict?threshold={threshold}", image)[1]
        assert found == whole | {"label": label}
    for query, place in (("explain=perhaps", "explain"), ("threshold=2", "threshold")):
        status, answer, _ = running.ask("POST", f"/predict?{query}", image)
        assert status == 422 and answer["error"].startswith(f"{place}: Input should be ")


def test_images_that_come_together_share_a_forward_pass(
    running: Running, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.again(connections=40, at_once=40, wait_seconds=10)
    sizes, begun, look, images = [], threading.Event(), service.look, noise(9)

    def slow(asked: Sequence[Asked]) -> list[Seen]:
        sizes.append(len(asked))
        if len(sizes) == 1:
            begun.set()
            time.sleep(0.5)
        return look(asked)

    monkeypatch.setattr(service, "look", slow)
    expected = made("resnet", 2).predict(images)

    def ask(number: int) -> list[float]:
        return list(running.ask("POST", "/predict", png(images[number]))[1]["probabilities"].values())

    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(ask, 0)
        begun.wait(10)
        found = [first, *(pool.submit(ask, number) for number in range(1, 9))]
        for number, future in enumerate(found):
            assert future.result() == pytest.approx(expected[number].tolist(), abs=2e-6)
    assert sizes[0] == 1 and sum(sizes) == 9 and len(sizes) < 5


def test_the_openapi_document_describes_what_is_answered(running: Running) -> None:
    document = running.ask("GET", "/openapi.json")[1]
    assert document["openapi"].startswith("3.1") and "security" not in document
    assert set(document["paths"]) == {"/health", "/metrics", "/predict", "/predict/batch"}
    body, kind = form(("a.png", png(noise(1)[0])), ("b.png", b"x"))
    answers = {
        ("/predict", "post"): running.ask("POST", "/predict", png(noise(1)[0]))[1],
        ("/predict/batch", "post"): running.ask("POST", "/predict/batch", body, Content_Type=kind)[1],
        ("/health", "get"): running.ask("GET", "/health")[1],
    }
    for (path, method), answer in answers.items():
        described = document["paths"][path][method]
        schema = described["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer, schema | {"components": document["components"]})
        named = {
            name for part in document["components"]["schemas"].values() for name in part.get("properties", ())
        }
        assert set(answer) <= named
    refused = document["paths"]["/predict"]["post"]["responses"]["422"]["content"]["application/json"][
        "schema"
    ]
    jsonschema.validate(
        running.ask("POST", "/predict", b"x")[1], refused | {"components": document["components"]}
    )
    taken = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(taken) == {"image/*", "multipart/form-data"}
    assert [given["name"] for given in document["paths"]["/predict"]["post"]["parameters"]] == [
        "explain", "similar", "threshold",
    ]  # fmt: skip


def test_the_counters_say_what_has_happened(running: Running) -> None:
    running.ask("POST", "/predict", png(noise(1)[0]))
    running.ask("POST", "/predict", b"x")
    running.ask("GET", "/no/such/page")
    status, content, response = running.ask("GET", "/metrics")
    assert status == 200 and response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    counted = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(content.decode())
        for sample in family.samples
    }
    assert counted["harness_requests_total", "/predict", "200"] == 1
    assert counted["harness_requests_total", "/predict", "422"] == 1
    assert counted["harness_requests_total", "other", "404"] == 1
    assert counted["harness_images_total", "answered"] == counted["harness_images_total", "unreadable"] == 1
    assert counted["harness_forward_images_sum",] == 1
    assert counted["harness_requests_in_progress",] == 1  # this one
    assert counted["harness_request_seconds_count", "/predict"] == 2
