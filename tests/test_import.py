"""`kws import`: other engines' models become one file that gives their very scores."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import soundfile
import wake_heads
from models import noise

import kws
from export import importing, recordings, speech_embedding
from export.importers import openwakeword
from kws.cli import main
from kws.commands import import_
from kws.errors import ExportError


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A folder with a made-up front end and embedding, in place of the pinned ones."""
    folder = tmp_path / "parts"
    monkeypatch.setattr(speech_embedding, "FILES", wake_heads.write_parts(folder))
    return folder


@pytest.fixture(scope="module")
def real_parts():
    """The real front end and embedding, from the package index."""
    try:
        return speech_embedding.find_parts(None, print)
    except ExportError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def few_clips(monkeypatch):
    """Compare on few recordings: these tests compare themselves."""
    monkeypatch.setattr(importing, "CLIPS", 2)


def speech(clips=3):
    """Synthesised words and sentences."""
    return np.concatenate([one.samples for one in recordings.default()[:60:20][:clips]])


def run(arguments, capsys):
    """Return exit code, stdout, stderr of `kws import`."""
    code = main(["import", "openwakeword", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def hop_scores(model, audio):
    """Return a model's scores at every hop, by a Spotter without a gate."""
    spotter = kws.Spotter(model, gate="none", verify="none")
    found = spotter.process(kws.Block(audio, 0, 16_000))
    return np.array([each.values for each in found if isinstance(each, kws.Scores)])


def windowed(folder, paths, audio):
    """Return the scores of heads as openWakeWord computes them, each window whole."""
    heads = [openwakeword.read_head(path) for path in paths]
    parts = speech_embedding.find_parts(folder, print)
    return openwakeword.windowed_scores(parts, heads, audio[: len(audio) // 1280 * 1280])


def test_streaming_gives_what_whole_windows_give(parts, tmp_path, capsys):
    """Heads of several lengths, branches and operator sets, in one file: the very scores."""
    heads = [
        wake_heads.write_head(tmp_path / "hey_bob_v0.1.onnx"),
        wake_heads.write_head(tmp_path / "weather.onnx", embeddings=22, seed=9),
        wake_heads.write_branching_head(tmp_path / "hey_jill.onnx"),
        wake_heads.write_head(tmp_path / "livekit.onnx", opset=18, seed=11, batch="batch"),
        wake_heads.write_head(tmp_path / "short.onnx", embeddings=1, seed=13),
    ]
    code, out, err = run([*heads, "--features", parts, "-o", tmp_path / "out.onnx"], capsys)
    assert 0 == code, err
    audio = speech()
    model = kws.load(tmp_path / "out.onnx")
    ours, wanted = hop_scores(model, audio), windowed(parts, heads, audio)

    assert ["hey_bob", "weather", "hey_jill", "livekit", "short"] == model.keywords
    assert "scores differ from the source's by" in out
    np.testing.assert_allclose(ours, wanted, atol=1e-5)
    assert ours.std(axis=0).min() > 1e-3


def test_the_real_embedding_streams_too(real_parts, tmp_path):
    """Google's embedding and openWakeWord's front end, under a made-up head: the same scores."""
    head = wake_heads.write_head(tmp_path / "hey_bob.onnx")
    request = importing.ImportRequest([(head, ())])
    importing.import_model("openwakeword", request, tmp_path / "out.onnx", print)
    audio = speech()

    ours = hop_scores(tmp_path / "out.onnx", audio)

    np.testing.assert_allclose(ours, windowed(real_parts[0].parent, [head], audio), atol=1e-5)


def test_the_card_says_where_it_came_from(parts, tmp_path, capsys, monkeypatch):
    """Roles, thresholds, licences, source, parity, self-test; the window is what scores hear."""
    own = wake_heads.write_head(tmp_path / "alexa_v0.1.onnx")
    other = wake_heads.write_head(tmp_path / "mine.onnx", embeddings=22)
    known = openwakeword.read_head(own).sha256
    monkeypatch.setattr(openwakeword, "OWN", {known})
    out = tmp_path / "out.onnx"
    code, _, err = run([own, f"{other}=hey you", "--features", parts, "-o", out], capsys)
    card = kws.load(out).card

    assert 0 == code
    assert [("alexa", "wake"), ("hey you", "wake")] == [(n.name, n.role) for n in card.labels]
    assert {0.5} == {level.value for level in card.thresholds.values()}
    assert all(level.false_alarms is None for level in card.thresholds.values())
    assert card.licence == (
        "CC-BY-NC-SA-4.0 (alexa_v0.1.onnx); unknown (mine.onnx); Apache-2.0 (speech embedding)"
    )
    assert "--licence notes it" in err
    assert "alexa_v0.1.onnx, mine.onnx" == card.source.name
    assert card.parity.max_difference <= 1e-5
    assert card.self_test is not None
    assert (76 + 8 * 21) * 160 <= card.window <= (76 + 8 * 21) * 160 + 1280 + 480
    assert "webrtc" == card.gate.name


def test_scores_depend_on_no_more_than_the_window(parts, tmp_path, capsys):
    """What lies further back than the card's window does not change a score."""
    head = wake_heads.write_head(tmp_path / "mine.onnx")
    run([head, "--features", parts, "-o", tmp_path / "out.onnx"], capsys)
    model = kws.load(tmp_path / "out.onnx")
    hops = -(-model.card.window // 1280)
    audio = speech()[: 1280 * hops]
    before = 0.5 * np.random.default_rng(1).standard_normal(1280 * 7).astype(np.float32)

    heard = hop_scores(model, np.concatenate([before, audio]))

    np.testing.assert_allclose(heard[-1], hop_scores(model, audio)[-1], atol=1e-6)


def test_outputs_are_named_by_the_file_or_by_the_user(parts, tmp_path, capsys):
    """OpenWakeWord writes labels as JSON into an output's name; the first score may be none's."""
    told = wake_heads.write_head(
        tmp_path / "timer.onnx", scores=3, output='{"1": "one_minute", "2": "an_hour"}'
    )
    plain = wake_heads.write_head(tmp_path / "three.onnx", scores=3, seed=9)
    out = tmp_path / "out.onnx"
    run([told, f"{plain}=b,c", "--features", parts, "-o", out], capsys)
    audio = speech(1)
    ours = hop_scores(out, audio)
    code, _, err = run([plain, "--features", parts, "-o", tmp_path / "no.onnx"], capsys)

    assert ["one_minute", "an_hour", "b", "c"] == kws.load(out).labels
    np.testing.assert_allclose(ours[:, :2], windowed(parts, [told], audio), atol=1e-5)
    assert 2 == code
    assert "gives 3 scores, 0 are named" in err


def tone(seconds):
    """Return a tone as loud as a voice."""
    time = np.arange(round(16_000 * seconds)) / 16_000
    return (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


@pytest.fixture
def tone_model(parts, tmp_path, capsys):
    """An imported model whose wake word is a tone."""
    networks = speech_embedding.WindowedNetworks(speech_embedding.find_parts(parts, print), [])
    heard, other = (networks.embeddings(one, 0)[-16:] for one in (tone(2.4), noise(2.4)))
    head = wake_heads.write_tuned_head(tmp_path / "beep.onnx", heard, other)
    run([head, "--features", parts, "-o", tmp_path / "tone.onnx"], capsys)
    return tmp_path / "tone.onnx"


def test_an_imported_model_is_used_as_ours(tone_model, tmp_path, capsys):
    """Found once, by `spot` and by `eval`; a verifier that knows no such word says so."""
    quiet = noise(2)
    audio, truth = tmp_path / "tone.wav", tmp_path / "truth.json"
    soundfile.write(audio, np.concatenate([quiet, tone(2.4), quiet]), 16_000)
    words = [{"label": "beep", "start_s": 2.0, "end_s": 4.4}]
    truth.write_text(json.dumps({"version": 1, "seconds": 6.4, "words": words}))
    model = ["--model", str(tone_model), "--gate", "none"]

    assert 0 == main(["spot", str(audio), *model])
    (found,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert "beep" == found["keyword"]
    assert 2.0 < found["time_s"] < 5.0
    assert 0 == main(["eval", "--stream", str(audio), "--truth", str(truth), *model, "--json"])
    assert "beep" in capsys.readouterr().out
    assert 2 == main(["spot", str(audio), *model, "--verify", "bundled"])
    assert "can't verify beep: its keywords are" in capsys.readouterr().err


def test_what_can_not_be_imported_is_one_line(parts, tmp_path, capsys):
    """Exit code 2, what is wrong and what to do, nothing left behind."""
    good = wake_heads.write_head(tmp_path / "good.onnx")
    (tmp_path / "good.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(60))
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    (tmp_path / "wrong").mkdir()
    wake_heads.write_mel(tmp_path / "wrong" / "melspectrogram.onnx")
    wake_heads.write_mel(tmp_path / "wrong" / "embedding_model.onnx")
    here = ["--features", parts]
    wrong = {
        (tmp_path / "gone.onnx", *here): "no such file",
        (tmp_path / "good.tflite", *here): "kws import openwakeword good.onnx",
        (tmp_path / "bad.onnx", *here): "is not a readable ONNX model",
        (parts / "embedding_model.onnx", *here): "is Google's speech embedding",
        (parts / "melspectrogram.onnx", *here): "is openWakeWord's mel front end",
        (kws.load().path, *here): "is a kws model already",
        (good, good, *here): "more than one head has this label",
        (f"{good}=", *here): "a label is empty",
        (good, "--gate", "loud", *here): "there are webrtc and none",
        (good, "--features", tmp_path): "melspectrogram.onnx: no such file",
        (good, "--features", tmp_path / "wrong"): "is not openWakeWord's embedding_model.onnx",
    }
    for arguments, reason in wrong.items():
        code, _, err = run([*arguments, "-o", tmp_path / "out.onnx"], capsys)

        assert 2 == code, arguments
        assert reason in err
        assert 1 == len([line for line in err.splitlines() if "comparing" not in line])
    assert not (tmp_path / "out.onnx").exists()


def test_the_format_comes_first(tmp_path, capsys):
    """Without it the user is told how to write it; an unknown one is named."""
    head = wake_heads.write_head(tmp_path / "mine.onnx")

    assert 2 == main(["import", str(head), str(head), "-o", "out.onnx"])
    assert f"kws import openwakeword {head}" in capsys.readouterr().err
    assert 2 == main(["import", "porcupine", str(head), "-o", "out.onnx"])
    assert "no such format; there are: openwakeword" in capsys.readouterr().err


def test_without_onnx_the_user_learns_what_to_install(tmp_path, monkeypatch, capsys):
    """One line, before anything is imported."""
    monkeypatch.setattr(import_, "NEEDED", ("no_such_package",))

    assert 2 == main(["import", "openwakeword", "head.onnx", "-o", "out.onnx"])
    assert "no_such_package is missing; run: " in (told := capsys.readouterr().err)
    assert "[import]" in told


@pytest.mark.parametrize("form", [{"pad": 1}, {"reach": 3}])
def test_a_network_that_can_not_stream_is_refused(form, tmp_path):
    """Where frames depend on where a window begins, streaming would give other numbers."""
    mel = wake_heads.write_mel(tmp_path / "mel.onnx")
    embedding = wake_heads.write_embedding(tmp_path / "embedding.onnx", **form)
    head = openwakeword.read_head(wake_heads.write_head(tmp_path / "mine.onnx"))

    with pytest.raises(ExportError, match="can't be made streaming"):
        openwakeword.build((mel, embedding), [head])


def test_what_is_multiplied_by_zero_is_not_computed(parts, tmp_path, capsys):
    """Filters above all bands go, and no Max is left for onnxruntime to compute apart."""
    head = wake_heads.write_head(tmp_path / "mine.onnx")
    run([head, "--features", parts, "-o", tmp_path / "out.onnx"], capsys)
    graph = onnx.load(tmp_path / "out.onnx").graph
    shapes = {one.name: [*one.dims] for one in graph.initializer}

    assert [32, 1, 512] == shapes["mel/filters"]
    assert [32, 32] == shapes["mel/bands"]
    assert "Max" not in {node.op_type for node in graph.node}


def test_importing_needs_no_torch():
    """`kws[import]` is onnx alone."""
    code = (
        "import sys, export.importers.openwakeword, export.importing; print('torch' in sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert "False" == loaded.stdout.strip()


def test_a_file_that_drifts_is_not_written(parts, tmp_path, monkeypatch):
    """Where the graph gives other scores than its source, the command says so."""
    head = wake_heads.write_head(tmp_path / "mine.onnx")
    request = importing.ImportRequest([(head, ())], parts)

    def change_source(text):
        """Make the source another one when the graph is built."""
        monkeypatch.setattr(speech_embedding, "FULL_SCALE", 3_000)

    with pytest.raises(kws.ParityError, match="differs from its source by"):
        importing.import_model("openwakeword", request, tmp_path / "out.onnx", change_source)
    assert not (tmp_path / "out.onnx").exists()


def test_json_says_the_same(parts, tmp_path, capsys):
    """One line for programs."""
    head = wake_heads.write_head(tmp_path / "mine.onnx")
    _, out, _ = run([head, "--features", parts, "-o", tmp_path / "o.onnx", "--json"], capsys)
    found = json.loads(out)

    assert ["mine"] == found["labels"]
    assert found["parity"]["max_difference"] <= 1e-5


def test_the_file_is_one_of_ours_in_every_way(parts, tmp_path, capsys):
    """Its opset is one that the oldest onnxruntime reads; no name appears twice."""
    heads = [wake_heads.write_head(tmp_path / f"{n}.onnx", seed=n) for n in (1, 2)]
    out = tmp_path / "out.onnx"
    run([*heads, "--features", parts, "-o", out], capsys)
    model = onnx.load(out)
    names = [one.name for one in model.graph.initializer]

    assert 17 == model.opset_import[0].version
    assert 8 == model.ir_version
    assert len(set(names)) == len(names)
    assert 0 == main(["info", str(out)])
