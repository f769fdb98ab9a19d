"""The documentation: its examples run, its generated parts are up to date, nothing is left out."""

import ast
import importlib
import inspect
import json
import re
import sqlite3

import msgspec
import pytest
from markdown_examples import (
    ROOT,
    audio,
    blocks,
    endpoint,
    exported,
    folder,
    named,
    run_python,
    run_shell,
)
from telling import heard

import kws
from docs import generate
from export import demo
from kws import commands, errors, gates, sinks, sources
from kws.cli import main
from kws.commands import doctor
from kws.serve.config import Config

__all__ = ["audio", "endpoint", "exported", "folder"]

README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
PAGES = generate.pages()
PACKAGES = {"gates": gates, "sinks": sinks, "sources": sources, "commands": commands}


def text(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def lines(path):
    return [line for code in blocks(path, "sh") for line in code.splitlines()]


def new_python():
    """Return the Python blocks of the pages that neither README nor an earlier page has."""
    seen, found = set(blocks(README, "python")), []
    for path in PAGES:
        for code in blocks(path, "python"):
            if code not in seen:
                seen.add(code)
                found.append(named(path, code))
    return found


def new_shell():
    """Return the shell blocks of the pages with those of their lines that run nowhere else.

    A block whose lines build on one another runs whole if one of them is new.
    """
    seen, found = set(lines(README)), []
    for path in PAGES:
        for code in blocks(path, "sh"):
            if not seen.issuperset(code.splitlines()):
                seen.update(code.splitlines())
                found.append(named(path, code))
    return found


@pytest.mark.parametrize("code", new_python())
def test_python_examples_run(folder, monkeypatch, code):
    """Each by itself, as README's do; those that README has run there."""
    run_python(code, monkeypatch)


@pytest.mark.parametrize("code", new_shell())
def test_shell_examples_run(folder, request, exported, code):
    """Each line ends well and says something."""
    hub = {"HF_ENDPOINT": request.getfixturevalue("endpoint")} if "kws export" in code else {}
    run_shell(code.splitlines(), folder, exported, **hub)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_generated_parts_are_up_to_date(path):
    """They say what the code and the result files say: python -m docs.generate."""
    page = path.read_text(encoding="utf-8")

    assert generate.filled(page) == page, "run: .venv/bin/python -m docs.generate"


def test_every_setting_of_the_daemon_is_explained():
    """Each key of each table, and of each sink, stands in the config reference."""
    reference, missing = text("daemon.md"), []
    kinds = [Config, *map(sinks.settings_of, sinks.names())]
    while kinds:
        for field in msgspec.structs.fields(kinds.pop()):
            if not re.search(rf"\b{field.encode_name}\b", reference):
                missing.append(field.encode_name)
            kinds += structs(field.type)

    assert not missing


def structs(kind):
    """Return the classes of settings that a field's type holds."""
    if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [each for inner in getattr(kind, "__args__", ()) for each in structs(inner)]


def test_every_finding_of_the_doctor_is_explained():
    """Troubleshooting quotes the remedy of each."""
    raised = [
        node.args[0] for node in ast.walk(ast.parse(inspect.getsource(doctor)))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Trouble"
    ]  # fmt: skip
    parts = [arg.values if isinstance(arg, ast.JoinedStr) else [arg] for arg in raised]
    told = [part.value.strip(":; ") for each in parts for part in each
            if isinstance(part, ast.Constant)]  # fmt: skip
    page = text("troubleshooting.md").replace("`", "")

    assert len(raised) == len(told)
    assert not [remedy for remedy in told if remedy.replace("`", "") not in page]


def test_links_lead_somewhere():
    """Pages and headings that other pages name exist. `make docs` looks closer."""
    anchors = {path.name: headings(path) for path in [*PAGES, CONTRIBUTING]}
    anchors["contributing.md"] = anchors.pop("CONTRIBUTING.md")
    wrong = []
    for path in PAGES:
        links = re.findall(r"\]\(([\w-]+\.md)?(?:#([\w-]+))?\)", path.read_text(encoding="utf-8"))
        for page, anchor in links:
            known = anchors.get(page or path.name)
            if known is None or (anchor and anchor not in known):
                wrong.append(f"{path.name}: {page}#{anchor}")

    assert not wrong


def headings(path):
    """Return the anchors of a page's headings, as the site makes them."""
    found = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in found]
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


def test_every_page_is_in_the_navigation():
    """And every entry of it is a page."""
    entries = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)

    assert sorted(entries) == sorted([*(path.name for path in PAGES), "contributing.md"])


def test_every_public_name_is_documented():
    """In the table of contents that help(kws) shows; errors in their table, others in api.md."""
    contents = set(re.findall(r"^    (\w+)", kws.__doc__, re.MULTILINE))
    reference = text("api.md") + text("errors.md")

    assert set(kws.__all__) <= contents
    assert {"import", "for"} == contents - set(kws.__all__)
    missing = [name for name in kws.__all__ if not re.search(rf"\b{name}\b", reference)]
    assert ["Event"] == missing  # what the others are called together


# -- CONTRIBUTING: worked examples -----------------------------------------------------------


@pytest.fixture
def example(tmp_path, monkeypatch, request):
    """A worked example as a module of its package, as if its file lay there."""
    code = next(c for c in blocks(CONTRIBUTING, "python") if c.startswith(f"# {request.param}"))
    package, _, name = request.param.removesuffix(".py").replace("/", ".").rpartition(".")
    (tmp_path / f"{name}.py").write_text(code)
    found = importlib.import_module(package)
    monkeypatch.setattr(found, "__path__", [*found.__path__, str(tmp_path)])
    yield importlib.import_module(f"{package}.{name}")
    monkeypatch.delitem(importlib.sys.modules, f"{package}.{name}")
    delattr(found, name)


def of(path):
    return pytest.mark.parametrize("example", [path], indirect=True)


def test_worked_examples_are_short():
    """At most 30 lines of code: without blank lines, comments and docstrings."""
    for code in blocks(CONTRIBUTING, "python"):
        source = [line.strip() for line in code.splitlines()]
        assert 30 >= len([x for x in source if x and not x.startswith(("#", '"""'))]), code


@of("kws/gates/energy.py")
def test_the_gate_opens_for_words(example):
    """The demo's words are heard, and what lies between is not looked at."""
    spotter = kws.Spotter(gate="energy")
    words = [e.keyword for e in spotter.events(demo_source()) if isinstance(e, kws.Detection)]

    assert demo.expected() == words
    assert 0 < spotter.stats.open_s < spotter.stats.audio_s
    with pytest.raises(errors.ConfigError, match="0 at most"):
        example.Detector(16_000, level_db=1.0)


def demo_source():
    return sources.open_audio(str(demo.PATH))


@of("kws/sinks/sqlite.py")
def test_the_sink_writes_rows(example, tmp_path):
    """The config knows it by its name."""
    path = tmp_path / "events.db"
    sink = sinks.make("sqlite", sinks.settings("sqlite", {"path": str(path)}), None)
    sink.start()
    sink.send(heard())
    sink.close()
    [(wall_time, event)] = sqlite3.connect(path).execute("select * from events").fetchall()

    assert heard().wall_time == wall_time
    assert json.loads(event)["keyword"] == heard().keyword
    with pytest.raises(errors.SinkError, match="unable to open"):
        sinks.make("sqlite", example.Settings(path="/nowhere/x.db"), None).start()


@of("kws/sources/tone.py")
def test_the_source_is_heard(example):
    """To its end, and no longer once it is closed."""
    spotter = kws.Spotter(gate="none")
    list(spotter.events(example.Tone(440, 2)))

    assert spotter.stats.audio_s >= 2
    tone = example.Tone(440, 2)
    tone.close()
    assert not list(tone)


@of("kws/commands/loudness.py")
def test_the_command_runs(example, capsys):
    """By its file's name, with help, as text and as JSON."""
    assert 0 == main(["loudness", str(demo.PATH), "--json"])
    assert -60 < json.loads(capsys.readouterr().out)["level_db"] < 0
    assert 0 == main(["loudness", str(demo.PATH)])
    assert "dBFS" in capsys.readouterr().out
    assert 0 == main(["loudness", "--help"])
    assert "Print the RMS level" in capsys.readouterr().out


@of("export/checkpoints/energies.py")
def test_the_family_reads_its_checkpoint(example, tmp_path):
    """It is found by the checkpoint's name, and its network gives what the original gives."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from export import families
    from export.checkpoint import Checkpoint

    config = {"architectures": ["EnergiesForClips"], "labels": ["yes", "no"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(example.Network(50, 2).state_dict(), tmp_path / "model.safetensors")
    checkpoint = Checkpoint(tmp_path, "energies")
    original = families.find(checkpoint).read(checkpoint, families.Asked())
    audio = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    logits = original.network(original.front(torch.from_numpy(audio)[None]))[0]

    assert original.labels == ["yes", "no"]
    assert np.allclose(original.reference(audio), logits.softmax(1)[0].detach(), atol=1e-6)
