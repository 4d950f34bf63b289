"""Plain English in comments, docstrings, messages, documents and names."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
# Legitimate uses exist ("a server that lies", the account nobody): the budget covers them, so no exceptions.
MOST_IN_A_THOUSAND = 1.0
MOST_SUMMARY_CHARACTERS = 80
# A shorter string is a key, an option or a value.
FEWEST_WORDS_OF_A_MESSAGE = 4
AVOIDED_WORDS = (
    *("whoever", "whatever", "whichever", "nobody", "nobodys", "somebody", "somebodys", "anew", "astray"),
    *("lies", "told", "tells", "beside", "mend", "mends", "mended", "mending", "trouble", "troubles"),
)
AVOIDED_NAMES = {"one", "found"}
AVOIDED = re.compile(
    rf"\b(?:{'|'.join(AVOIDED_WORDS)})\b"
    r"|\bwhat\s+(?:is|was)\b"  # as a noun; a question may begin with it
    r"|(?:'s|\bits|\btheir|\bwhose)\s+word\b",  # as a statement
    re.IGNORECASE,
)
WORD = re.compile(r"[A-Za-z][A-Za-z']*")
SENTENCE_END = re.compile(r"[.?!]\s|\n\s*\n")
INLINE_CODE = re.compile(r"(`+)[^`\n]+\1")
FENCED_CODE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
NAME_PART = re.compile(r"[A-Z]?[a-z]+")
TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
COMMENTS = {
    "hash": re.compile(r"(?:^|\s)#+\s(.*)"),
    "slash": re.compile(r"(?:^|\s)(?://|/?\*)\s(.*)"),
}
YAML_CODE_KEYS = {
    *("when", "that", "until", "changed_when", "failed_when", "loop", "cmd", "argv", "shell", "command"),
    *("content", "script", "run"),
}
YAML_CONSTANTS = {"DOCUMENTATION", "EXAMPLES", "RETURN"}
NOT_OURS = ("LICENSE", "testbed/mirror/data/vosk_api.h")


class Text(NamedTuple):
    """A piece of prose, or a name split into its words."""

    line: int
    text: str
    is_name: bool = False
    counts: bool = True


class Hit(NamedTuple):
    path: str
    line: int
    word: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word}: {self.sentence}"


def python_texts(source: str) -> Iterator[Text]:
    tree = ast.parse(source)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(token.start[0], token.string)
    yield from python_strings(tree)
    for node in ast.walk(tree):
        yield from python_name(node)


def python_strings(node: ast.AST) -> Iterator[Text]:
    """Yield docstrings, and strings on one line that may be messages."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        if isinstance(node.value.value, str):
            yield Text(node.lineno, node.value.value)
    elif isinstance(node, ast.Assign) and assigned_names(node) & YAML_CONSTANTS:
        if isinstance(node.value, ast.Constant):
            for text in yaml_texts(str(node.value.value)):
                yield text._replace(line=node.lineno + text.line - 1)
    elif isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "0" for part in node.values]
        yield from message(node.lineno, "".join(map(str, parts)))
    elif isinstance(node, ast.Constant):
        yield from message(node.lineno, node.value if isinstance(node.value, str) else "")
    else:
        for child in ast.iter_child_nodes(node):
            yield from python_strings(child)


def message(line: int, text: str) -> Iterator[Text]:
    if len(WORD.findall(text)) >= FEWEST_WORDS_OF_A_MESSAGE and "\n" not in text:
        yield Text(line, text)


def assigned_names(node: ast.Assign) -> set[str]:
    return {target.id for target in node.targets if isinstance(target, ast.Name)}


def python_name(node: ast.AST) -> Iterator[Text]:
    """Yield the name that a node defines; only names of tests count as prose."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        name = node.name
    elif isinstance(node, ast.arg):
        name = node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        name = node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        name = node.attr
    else:
        return
    words = " ".join(NAME_PART.findall(name)).lower()
    yield Text(node.lineno, words, is_name=True, counts=name.startswith("test_"))


def yaml_texts(source: str) -> Iterator[Text]:
    yield from comments(source, "hash")
    for document in yaml.compose_all(source, yaml.CSafeLoader):
        yield from yaml_values(document, "")


def yaml_values(node: yaml.Node | None, key: str) -> Iterator[Text]:
    """Yield values that may be sentences, without expressions and file contents."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield from yaml_values(value, str(name.value))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from yaml_values(value, key)
    elif isinstance(node, yaml.ScalarNode) and key.rpartition(".")[2] not in YAML_CODE_KEYS:
        text = TEMPLATE.sub("0", node.value)
        if len(WORD.findall(text)) >= FEWEST_WORDS_OF_A_MESSAGE:
            yield Text(node.start_mark.line + 1, text)


def markdown_texts(source: str) -> Iterator[Text]:
    yield Text(1, FENCED_CODE.sub(lambda block: "\n" * block[0].count("\n"), source))


def template_texts(source: str) -> Iterator[Text]:
    for comment in re.finditer(r"\{#(.*?)#\}", source, re.DOTALL):
        yield Text(source.count("\n", 0, comment.start()) + 1, comment[1])
    yield from comments(source, "hash")


def comments(source: str, style: str) -> Iterator[Text]:
    for line, text in enumerate(source.splitlines(), 1):
        if comment := COMMENTS[style].search(text):
            yield Text(line, comment[1])


def texts(path: Path, source: str) -> Iterator[Text]:
    """Yield all prose of a file.

    A file of another kind is searched for comments that begin with #.
    """
    python = path.suffix == ".py" or (source.startswith("#!") and "python" in source.partition("\n")[0])
    if python:
        return python_texts(source)
    if path.suffix in {".yml", ".yaml"}:
        return yaml_texts(source)
    if path.suffix == ".md":
        return markdown_texts(source)
    if path.suffix == ".j2":
        return template_texts(source)
    return comments(source, "slash" if path.suffix in {".js", ".cjs"} else "hash")


def hits(path: Path, text: Text) -> Iterator[Hit]:
    if text.is_name and text.text in AVOIDED_NAMES:
        yield Hit(str(path), text.line, text.text, "the name of a variable")
    prose = INLINE_CODE.sub(lambda code: "0" * len(code[0]), text.text)
    for match in AVOIDED.finditer(prose):
        begins = max((end.end() for end in SENTENCE_END.finditer(prose, 0, match.start())), default=0)
        ends = SENTENCE_END.search(prose, match.end())
        sentence = " ".join(text.text[begins : ends.end() if ends else None].split())
        if not (match[0].lower().startswith("what") and sentence.endswith("?")):
            line = text.line + prose.count("\n", 0, match.start())
            yield Hit(str(path), line, " ".join(match[0].split()), sentence[:160])


def counted(files: list[Path]) -> tuple[int, list[Hit]]:
    """Return the number of words, and the words to avoid, the worst file first."""
    words = 0
    uses: list[Hit] = []
    for path in files:
        try:
            source = (CHECKOUT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for text in texts(path, source):
            words += len(WORD.findall(text.text)) if text.counts else 0
            uses += hits(path, text)
    in_file = Counter(hit.path for hit in uses)
    return words, sorted(uses, key=lambda hit: (-in_file[hit.path], hit.path, hit.line))


def test_project_has_few_words_to_avoid(files: list[Path]) -> None:
    words, uses = counted([path for path in files if str(path) not in NOT_OURS])
    rate = 1000 * len(uses) / words
    places = "\n".join(map(str, uses))
    assert rate <= MOST_IN_A_THOUSAND, f"{len(uses)} of {words} words: {rate:.1f} in 1,000\n{places}"


def test_docstrings_begin_with_a_line_of_at_most_80_characters(files: list[Path]) -> None:
    long = []
    for path in files:
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse((CHECKOUT / path).read_text(encoding="utf-8"))):
            if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            summary = (ast.get_docstring(node) or "").partition("\n")[0]
            if len(summary) > MOST_SUMMARY_CHARACTERS:
                long.append(f"{path}:{node.body[0].lineno}: {len(summary)} characters: {summary}")
    assert not long, f"{len(long)} docstrings have a longer first line\n" + "\n".join(long)


SAMPLES = {
    "docstring.py": ('"""Read.\n\nIt returns\nwhatever it reads.\n"""\n', ["4: whatever"]),
    "comment.py": ("x = 1  # nobody reads it\n", ["1: nobody"]),
    "message.py": ('raise ValueError(\n    f"{x} lies in "\n    "the cache.")\n', ["2: lies"]),
    "code.py": ('x = "lies"\ny = """told\na\nb\nc\nd\n"""\nz = "the `told` of the API"\n', []),
    "name.py": (
        "one = 1\nfor found in x: pass\ndef f(troubles_seen): pass\n",
        ["1: one", "2: found", "3: troubles"],
    ),
    "test_name.py": ("def test_an_end_is_nobodys(): pass\n", ["1: nobodys"]),
    "question.md": ("What is a runner? What is written\nis told.\n", ["1: What is", "2: told"]),
    "code.md": ("```\ntold\n```\n`told` and told\n", ["4: told"]),
    "tasks.yml": (
        "# told\n- name: Let whoever waits go on\n  when: what is told here\n",
        ["1: told", "2: whoever"],
    ),
    "unit.j2": ("{# anew #}\n# the host's word\n", ["1: anew", "2: 's word"]),
    "script.sh": ("echo told\n# told\n", ["2: told"]),
    "page.js": ("// told\n", ["1: told"]),
}


def test_words_to_avoid_are_recognized_in_prose_and_names_only() -> None:
    for name, (source, expected) in SAMPLES.items():
        uses = [hit for text in texts(Path(name), source) for hit in hits(Path(name), text)]
        assert [f"{hit.line}: {hit.word}" for hit in sorted(uses)] == expected, name
