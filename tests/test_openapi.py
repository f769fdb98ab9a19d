"""The OpenAPI description: what schemathesis makes of it is answered as it says."""

import subprocess
import sys

from test_http import home, recording

__all__ = ["home"]

STREAM = "text/event-stream"
EXAMPLES = 20
"""Requests a route, besides those at the edges of what its schema allows."""
CONFIG = """
[parameters]
"query.model" = "tones"
[checks]
negative_data_rejection.expected-statuses = ["4xx"]
positive_data_acceptance.expected-statuses = ["2xx", "413"]
[[operations]]
include-path = "/v1/classify"
checks.positive_data_acceptance.expected-statuses = ["2xx", "413", "422"]
[[operations]]
include-path = "/v1/thresholds"
checks.positive_data_acceptance.expected-statuses = ["2xx", "413", "422"]
[[operations]]
include-path = "/v1/recordings/{recording_id}"
checks.positive_data_acceptance.expected-statuses = ["2xx", "404"]
"""
"""No schema says how long a body may be as bytes, nor which bytes are a recording, nor which words
there are."""


def test_it_is_as_the_description_says(home, tmp_path):
    """Right and wrong requests: no 5xx, and each status, type and body as described.

    All routes but the streams, which never end.
    """
    _, _, description = home.ask("GET", "/openapi.json")
    endless = {path for path, ways in description["paths"].items() if STREAM in str(ways)}
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = ["-m", "schemathesis.cli", "--config-file", config, "run", f"{home.url}/openapi.json"]
    options = ["--phases=coverage,fuzzing", f"--max-examples={EXAMPLES}", "--seed=1"]
    options += ["--request-timeout=10", "--continue-on-failure"]
    options += [f"--exclude-path={path}" for path in endless]
    options += ["--no-shrink", "--no-color", "--generation-database=none", "--warnings=off"]
    result = subprocess.run(
        [sys.executable, *command, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    ways = sum(len(ways) for path, ways in description["paths"].items() if path not in endless)
    assert f"{ways} passed" in result.stdout


def test_numbers_are_as_small_as_described(home):
    _, _, description = home.ask("GET", "/openapi.json")
    asked = description["paths"]["/v1/classify"]["post"]["parameters"]
    [least] = [each["schema"]["minimum"] for each in asked if each["name"] == "top_k"]
    clip = recording("WAV")

    assert len(home.ask("POST", f"/v1/classify?top_k={least}", clip)[2]) == least
    assert home.ask("POST", f"/v1/classify?top_k={least - 1}", clip)[0] == 422


def test_every_route_is_described(home):
    """And a WebSocket named where its stream is."""
    _, _, description = home.ask("GET", "/openapi.json")
    routes = home.daemon._network._web._server._server.config.app._app.routes
    paths = {each.path for each in routes if hasattr(each, "methods")}
    sockets = {each.path for each in routes if not hasattr(each, "methods")}

    assert {each for each in paths if each.startswith("/v1/")} < set(description["paths"]) <= paths
    assert all(each in str(description) for each in sockets)


def test_who_asks_in_another_way_is_told_which_ones_there_are(home):
    _, _, description = home.ask("GET", "/openapi.json")
    for path, ways in description["paths"].items():
        for method in {"get", "post", "put", "delete", "patch"} - set(ways):
            status, headers, answer = home.ask(method.upper(), path)
            assert (status, list(answer)) == (405, ["error"])
            allowed = {each.strip().lower() for each in headers["Allow"].split(",")}
            assert set() < allowed - {"head"} <= set(ways)
