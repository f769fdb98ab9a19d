"""Hugging Face's JavaScript client with another endpoint; its Python sister is in test_http."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_http import TOKEN, living, recording

import kws

NODE = Path(__file__).parent / "node"
FORMS = "WAV", "FLAC", "OGG"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A daemon that asks everyone for the token."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token").write_text(f"{TOKEN}\n")
    with living(folder, f'[http]\nport = 0\ntoken_file = "{folder}/token"\n') as it:
        yield it


@pytest.fixture(scope="module")
def recordings(guarded):
    """One word in several forms."""
    paths = [guarded.folder / f"no.{form.lower()}" for form in FORMS]
    for form, path in zip(FORMS, paths, strict=True):
        path.write_bytes(recording(form))
    return paths


def answers(url, token, *paths):
    """Return what the client makes of recordings."""
    if not shutil.which("node") or not (NODE / "node_modules" / "@huggingface").is_dir():
        reason = "@huggingface/inference is missing; `.ci/setup test` installs it"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    command = ["node", NODE / "classify.js", f"{url}/v1/classify", token, *paths]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_it_gets_the_labels_that_the_command_line_gives(guarded, recordings):
    found = answers(guarded.url, TOKEN, *recordings)

    for path, labels in zip(recordings, found, strict=True):
        wanted = kws.classify(path, model=str(guarded.folder / "tones.onnx"))
        assert [(each["label"], each["score"]) for each in labels] == [
            (label, pytest.approx(score, abs=1e-6)) for label, score in wanted
        ]
        assert labels[0]["label"] == "no"


def test_it_is_told_why_not(guarded, recordings, tmp_path):
    """Without the token, and with what is no recording."""
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"noise")

    assert answers(guarded.url, "another-token", recordings[0]) == [
        {"status": 401, "error": "a bearer token is needed"}
    ]
    assert answers(guarded.url, TOKEN, noise) == [
        {"status": 422, "error": "the body is neither WAV nor FLAC nor Ogg"}
    ]
