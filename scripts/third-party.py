#!/usr/bin/env python3
"""Writes THIRD-PARTY.md: what the released programs are linked with, under which licences, with their texts, each once.

With --check it says whether the file is stale. Reads Cargo.lock and the sources that cargo has fetched.
"""
import hashlib
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = re.compile(r"^(un)?licen[cs]e|^copying|^notice|^copyright", re.I)


def packages():
    """The packages below the workspace's own, by normal and build dependencies, of every feature and platform."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    by_id = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    own, todo, seen = set(metadata["workspace_members"]), list(metadata["workspace_members"]), set()
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        for dependency in nodes[node]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    return sorted((by_id[one] for one in seen - own), key=lambda package: (package["name"], package["version"]))


def texts(package):
    """The licence texts in a package's folder."""
    folder = pathlib.Path(package["manifest_path"]).parent
    for path in sorted(folder.iterdir()):
        if path.is_file() and NAMES.match(path.name) and path.suffix not in (".rs", ".py", ".html"):
            lines = path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").strip("\n").split("\n")
            yield "\n".join(line.rstrip() for line in lines)


def document():
    rows, by_text = [], {}
    for package in packages():
        name = f"{package['name']} {package['version']}"
        rows.append(f"| {name} | {package['license'] or 'see its text'} |")
        for text in texts(package):
            key = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
            by_text.setdefault(key, (text, []))[1].append(name)
    out = [
        "# Software of others in faas",
        "",
        "Made by `scripts/third-party.py`. What the programs are linked with, on whatever platform, and the licence texts that",
        "come with it, each text once.",
        "",
        "| package | licence |",
        "|---|---|",
        *rows,
    ]
    for text, names in sorted(by_text.values(), key=lambda one: (-len(one[1]), one[1])):
        fence = "````" if "```" in text else "```"
        out += ["", f"## {', '.join(names)}", "", f"{fence}text", text, fence]
    return "\n".join(out) + "\n"


def main():
    file = ROOT / "THIRD-PARTY.md"
    made = document()
    if "--check" in sys.argv:
        if not file.exists() or file.read_text(encoding="utf-8") != made:
            sys.exit("THIRD-PARTY.md is stale: run scripts/third-party.py")
    else:
        file.write_text(made, encoding="utf-8")


main()
