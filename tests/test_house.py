"""The house rules: who imports whom, how long things grow, which words are used."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import kws

ROOT = Path(__file__).parent.parent
TOP = {"kws", "export", "tests", "benchmarks", "docs"} | {
    "pyproject.toml", "README.md", "Makefile", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md",
    "mkdocs.yml",
}  # fmt: skip

LAYERS = [
    {"errors", "flow"},
    {"arguments", "block_sizes", "card", "files", "foreign", "fusion", "home", "install_hint"}
    | {"interrupts", "jumps"}
    | {"mixing", "origin", "permissions", "programs", "ring", "roles", "samples", "sensitivity"}
    | {"steps", "stride", "text", "event_json", "levels"},
    {"onnx_graph", "encoder", "graph_checks", "session", "gates", "sources"},
    {"resample", "gate", "classifiers", "smoothing", "verifier", "decide"},
    {"locate", "capture", "callbacks", "keyword_levels", "overrides", "thresholds"}
    | {"verification", "word_search", "clip_verification"},
    {"chain", "stream", "loops"},
    {"spotter", "sinks"},
    {"evaluate", "selftest", "serve", "shortcuts", "terminal", "recording"},
    {"commands", "cli", "__init__", "__main__"},
]
"""The parts of kws, lowest first: a part imports from lower layers and its own, but stages
don't know one another."""

STAGES = LAYERS[3]

ONLY = {
    "onnxruntime": {"kws.onnx_graph"},
    "sounddevice": {"kws.sources.devices"},
    "torch": set(),
    "transformers": set(),
}
"""Heavy imports, and the only modules of kws that make them."""

LONGER = {
    "kws.spotter": 300,
    "kws.card": 400,
    "kws.chain": 300,
    "kws.event_json": 300,
    "kws.session": 310,
    "kws.stream": 300,
    "kws.serve.config": 300,
    "kws.terminal.options": 300,
}
"""Modules that may pass 250 lines, for they hold one thing: a class or a format that users meet."""

FORBIDDEN = {"chunk", "helper", "manager", "handler", "utils", "common", "misc"}

PUBLIC = [
    "AudioError", "AudioLost", "Block", "Capture", "Captured", "CardError", "ConfigError",
    "DataError", "Detection", "DeviceError", "DigitalSilence", "Event", "ExportError",
    "GateChanged", "KeywordStuck", "KwsError", "Model", "ModelError", "ParityError", "Scores",
    "Sink", "Source", "Spotter", "Stats", "VerifierFailed", "classify", "devices",
    "listen", "load", "spot",
]  # fmt: skip


def git(*arguments):
    result = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if result.returncode:
        pytest.skip("this is no git clone")
    return result.stdout.splitlines()


def sources(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def module(path):
    """Return a file's dotted name, a package's own file as package.__init__."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path):
    """Return the dotted names that a file imports, wherever in it, but for types' sake."""
    names = set()
    for node in running(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(f"relative import in {path.name}")
    return names


def running(node):
    """Walk a syntax tree, past what only a type checker runs."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from running(child)


def parts(path):
    """Return the parts of kws that a file imports: the names in LAYERS."""
    ours = (name.split(".") for name in imports(path))
    return {name[1] for name in ours if name[0] == "kws" and len(name) > 1}


def layer(part):
    ranks = [rank for rank, names in enumerate(LAYERS) if part in names]
    assert ranks, f"kws.{part} has no layer yet: give it one in this file"
    return ranks[0]


def test_dependencies_point_one_way():
    """Each part of kws imports only what lies below it; stages don't know one another."""
    wrong = [
        f"{module(path)} imports kws.{other}"
        for path in sources("kws")
        for part in [module(path).split(".")[1]]
        for other in parts(path) - {part, *kws.__all__}
        if layer(other) > layer(part) or {part, other} <= STAGES
    ]

    assert not wrong


def test_the_runtime_never_needs_the_exporter():
    """Only commands reach for export, and export only for the model file's side of kws.

    Training runs the live chain too: thresholds are calibrated on what it will hear.
    """
    wrong = [
        module(path)
        for path in sources("kws")
        if any(name.split(".")[0] == "export" for name in imports(path))
        and "commands" not in path.parts
    ]
    for path in sources("export"):
        training = "training" in path.parts
        allowed = {"card", "origin", "session", "errors", "flow", "selftest", "gates", "mixing"}
        allowed |= {"roles", "files", "levels", "install_hint", "foreign", "home", "encoder"}
        allowed |= {"cli"} if module(path) == "export.__main__" else set()
        allowed |= {"spotter", "classifiers", "evaluate"} if training else set()
        allowed |= {"sensitivity", "steps", *kws.__all__} if training else set()
        wrong += [f"{module(path)} imports kws.{part}" for part in parts(path) - allowed]

    assert not wrong


def test_heavy_imports_have_one_place():
    """Of kws, onnxruntime and sounddevice are each imported by one room, torch by none."""
    wrong = [
        f"{module(path)} imports {name}"
        for path in sources("kws")
        for name in {name.split(".")[0] for name in imports(path)} & ONLY.keys()
        if module(path) not in ONLY[name]
    ]

    assert not wrong


def test_importing_kws_is_light():
    """`import kws` loads neither torch nor sounddevice nor onnxruntime."""
    code = "import sys, kws; print(*{'torch', 'sounddevice', 'onnxruntime'} & set(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == ""


def test_the_public_names_are_these():
    """Nothing becomes public by accident, and every public name exists."""
    assert sorted(kws.__all__) == PUBLIC
    assert all(hasattr(kws, name) for name in PUBLIC)
    assert set(PUBLIC) <= set(dir(kws))


@pytest.mark.parametrize("path", sources("kws", "export", "benchmarks"), ids=module)
def test_no_module_grows_long(path):
    """A module has 250 lines at most; one that outgrows that holds two jobs."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGER.get(module(path), 250)


@pytest.mark.parametrize("path", sources("kws", "export", "benchmarks", "tests"), ids=module)
def test_no_function_grows_long(path):
    """A function has 40 lines at most, without its docstring."""
    functions = [
        node for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]  # fmt: skip

    assert not [f"{node.name}: {length(node)}" for node in functions if length(node) > 40]


def length(function):
    first = function.body[ast.get_docstring(function) is not None :] or function.body
    return function.end_lineno - first[0].lineno + 1


@pytest.mark.parametrize("path", sources("kws", "export", "benchmarks", "tests"), ids=module)
def test_names_say_what_a_thing_is(path):
    """No module, class, function or variable hides behind a word that fits everything."""
    names = [path.stem]
    for node in ast.walk(parsed(path)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.append(name)
            case ast.ClassDef(name=name) | ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                names.append(name)
    words = {word.lower() for name in names for word in re.findall(r"[A-Z]?[a-z]+", name)}

    assert not {word for word in words if word in FORBIDDEN or word.removesuffix("s") in FORBIDDEN}


def test_no_file_knows_a_machine():
    """No tracked file holds the path of somebody's home or work folder."""
    pattern = re.compile(r"/(?:work|home|root|Users)/\w")
    wrong = []
    for name in git("ls-files", "--cached", "--others", "--exclude-standard"):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if pattern.search(content.decode("utf-8", errors="ignore")):
            wrong.append(name)

    assert not wrong


def test_the_top_of_the_tree_is_small():
    """The repository's first page lists what the tree needs, and nothing else."""
    names = {
        name.split("/")[0] for name in git("ls-files", "--cached", "--others", "--exclude-standard")
    }

    assert {name for name in names if not name.startswith(".")} <= TOP
