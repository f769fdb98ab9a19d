"""Fill the generated parts of the documentation: `python -m docs.generate`.

A page marks such a part with `<!-- generated: NAME -->` and `<!-- end -->`; what lies between is
replaced. Text comes from the code, numbers from the result files in `benchmarks/`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from docs import measured
from docs.measured import table

DOCS = Path(__file__).parent
PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """Return a page with its generated parts written anew. Raises KeyError: an unknown part."""
    return PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n{found[3]}", page)


def pages() -> list[Path]:
    """Return the Markdown pages, sorted by name."""
    return sorted(DOCS.glob("*.md"))


def _words(docstring: str | None) -> str:
    """Return a docstring's text as Markdown paragraphs."""
    lines = [line.strip() for line in (docstring or "").strip().splitlines()]
    return "\n".join(lines)


def commands() -> str:
    """Return each command's usage, options and remarks, from the command line itself."""
    import typer

    from kws.cli import Commands

    group: Any = Commands(name="kws")
    context = typer.Context(group, info_name="kws")
    parts = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = typer.Context(command, info_name=name, parent=context)
        usage = " ".join(command.collect_usage_pieces(inner))
        rows = [row for parameter in command.params if (row := _option(parameter))]
        options = table(["", "what it does"], rows)
        summary, _, rest = _words(command.help).partition("\n\n")
        head = f"## kws {name}\n\n{summary}\n\n```text\nkws {name} {usage}\n```\n\n"
        parts.append(f"{head}{options}\n{rest}\n" if rest else f"{head}{options}")
    return "\n".join(parts)


def _option(parameter: Any) -> list[str] | None:
    """Return an option's or argument's row; None for `--help`, which every command has."""
    names = [*parameter.opts, *parameter.secondary_opts]
    if names == ["--help"]:
        return None
    if parameter.param_type_name == "argument":
        names = [parameter.metavar or parameter.name.upper()]
    flag = getattr(parameter, "is_flag", False)
    kind = parameter.type.name
    value = f" {parameter.metavar or ('N' if 'range' in kind else kind.upper())}"
    value = "" if flag or parameter.param_type_name == "argument" else value
    text = parameter.help or ""
    default = parameter.default
    if not flag and default is not None and isinstance(default, (int, float, str)):
        text = f"{text} Default: `{default}`."
    return [f"`{', '.join(names)}{value}`", text]


def config() -> str:
    """Return the template of the config, a heading for each of its tables."""
    text = (DOCS.parent / "kws" / "serve" / "kws.toml").read_text(encoding="utf-8")
    blocks = [block for block in text.split("\n\n") if block.strip()]
    parts: list[tuple[str, list[str]]] = []
    for block in blocks:
        found = re.search(r"^#?(\[\[?\w+\]\]?)$", block, re.MULTILINE)
        kind = re.search(r'^#?type = "(\w+)"', block, re.MULTILINE)
        name = f"{found[1]}, {kind[1]}" if found and kind else found[1] if found else ""
        if not parts or (name and name != parts[-1][0]):
            parts.append((name, [block]))
        else:
            parts[-1][1].append(block)
    sections = [
        (f"### `{name}`\n\n" if name else "")
        + "```toml\n"
        + "\n\n".join(blocks).strip()
        + "\n```\n"
        for name, blocks in parts
    ]
    return "\n".join(sections)


def http() -> str:
    """Return the paths of the HTTP server, from its OpenAPI description."""
    from kws.serve.http.describe import PATHS

    rows = []
    for path, methods in PATHS.items():
        for method, route in methods.items():
            given = [f"`{each['name']}`" for each in route.get("parameters", [])]
            body = route.get("requestBody", {}).get("content", [])
            takes = ", ".join([*given, *(f"`{kind}`" for kind in body)])
            gives = ", ".join(f"`{kind}`" for kind in route["responses"]["200"]["content"])
            text = f"{route['summary']}. {f'Takes {takes}. ' if takes else ''}Answers {gives}."
            rows.append([f"`{method.upper()}` <br>`{path}`", text])
    return table(["request", "what it does"], rows)


def python_events() -> str:
    """Return the classes of events in Python, with their fields."""
    from typing import get_args

    import kws

    kinds = [kind for kind in get_args(kws.Event) if kind is not kws.Scores]
    rows = [
        [f"`kws.{kind.__name__}`", _words(kind.__doc__).partition("\n\n")[0].replace("\n", " "),
         ", ".join(f"`{field.name}`" for field in fields(kind))]
        for kind in [*kinds, kws.Scores]
    ]  # fmt: skip
    return table(["class", "what happened", "fields"], rows)


def errors() -> str:
    """Return the errors, what else they can be caught as, and the exit code of each."""
    from kws import errors as ours

    kinds = [kind for kind in vars(ours).values() if isinstance(kind, type)]
    rows = []
    for kind in kinds:
        if not issubclass(kind, ours.KwsError):
            continue
        also = [f"`{base.__name__}`" for base in kind.__bases__]
        text = _words(kind.__doc__).partition("\n\n")[0].replace("\n", " ")
        rows.append([f"`{kind.__name__}`", text, ", ".join(also), str(kind.exit_code)])
    return table(["error", "when", "also caught as", "exit code"], rows)


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "config": config,
    "http": http,
    "python-events": python_events,
    "errors": errors,
    "families": measured.families,
    "accuracy": measured.accuracy,
    "points": measured.points,
    "cost": measured.cost,
    "gates": measured.gates,
}


def main() -> None:
    """Write each page whose generated parts have changed."""
    for path in pages():
        page = path.read_text(encoding="utf-8")
        if (new := filled(page)) != page:
            path.write_text(new, encoding="utf-8")
            print(path.name)


if __name__ == "__main__":
    main()
