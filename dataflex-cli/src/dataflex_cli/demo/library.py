"""The standard library's docstrings and signatures."""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from dataflex_cli.demo.sample import Sample, shorten

# Quick to import, without side effects, in every supported Python, and patched by no library that a run imports.
_MODULES = """
abc argparse array ast asyncio base64 bdb binascii bisect builtins bz2 calendar cmath cmd code codecs codeop
collections colorsys compileall concurrent.futures.process concurrent.futures.thread configparser contextlib
contextvars copy copyreg csv ctypes dataclasses datetime decimal difflib dis doctest email.headerregistry
email.message email.parser email.policy email.utils enum errno faulthandler filecmp fileinput fnmatch fractions ftplib
functools gc getopt getpass gettext glob graphlib gzip hashlib heapq hmac html html.parser http http.client
http.cookiejar http.cookies http.server imaplib importlib importlib.abc importlib.machinery importlib.metadata
importlib.resources importlib.util io ipaddress itertools json keyword linecache locale logging logging.config
logging.handlers lzma mailbox marshal math mimetypes mmap modulefinder multiprocessing multiprocessing.managers
multiprocessing.pool netrc numbers operator optparse os os.path pathlib pdb pickle pickletools pkgutil platform
plistlib poplib pprint profile pstats py_compile pyclbr pydoc queue quopri random re reprlib runpy sched secrets
select selectors shelve shlex shutil signal smtplib socket socketserver sqlite3 ssl stat statistics string struct
subprocess symtable sys sysconfig tabnanny tarfile tempfile textwrap threading time timeit tokenize tomllib trace
traceback tracemalloc types typing unicodedata unittest unittest.mock urllib.error urllib.parse urllib.request
urllib.robotparser uuid wave weakref webbrowser wsgiref.handlers wsgiref.headers wsgiref.simple_server wsgiref.util
xml.dom.minidom xml.dom.pulldom xml.etree.ElementTree xml.sax xml.sax.handler xml.sax.saxutils xmlrpc.client
xmlrpc.server zipapp zipfile zipimport zlib zoneinfo
"""
# An address, a set or a path: differs between processes or machines. A dataclass's own docstring is its signature.
_UNSTABLE = re.compile(r" at 0x|[<{]|='[^']*[/\\]\w")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A public name of the library, and what it names."""

    name: str
    value: Any

    @property
    def topic(self) -> str:
        """The module, or the built-in type, that the name belongs to."""
        return self.name.partition(".")[0]


def library_samples() -> dict[str, list[Sample]]:
    """Samples of the domains ``functions``, ``classes`` and ``signatures``."""
    functions, classes, signatures = [], [], []
    for entry in _entries():
        is_class = inspect.isclass(entry.value)
        if text := _documentation(entry.value):
            if is_class:
                kind = "exception" if issubclass(entry.value, BaseException) else "class"
                question = f"What is the {kind} {entry.name} for?"
                classes.append(Sample(instruction=question, output=text, topic=entry.topic))
            else:
                question = f"What does {entry.name}() do?"
                functions.append(Sample(instruction=question, output=text, topic=entry.topic))
        if not is_class and (signature := _signature(entry)):
            question = f"Write the signature of {entry.name}."
            signatures.append(Sample(instruction=question, output=signature, topic=entry.topic))
    return {"functions": functions, "classes": classes, "signatures": signatures}


def _entries() -> Iterator[_Entry]:
    """Functions, classes and methods, under the module that defines them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _MODULES.split():
            try:
                module = importlib.import_module(name)
            except ImportError:
                continue
            for entry in _own(module, name):
                yield entry
                if inspect.isclass(entry.value):
                    yield from _methods(entry)


def _own(module: ModuleType, name: str) -> Iterator[_Entry]:
    root = _root(module.__name__)
    for attribute, value in sorted(vars(module).items()):
        if attribute.startswith("_") or _root(getattr(value, "__module__", None)) != root:
            continue
        if inspect.isclass(value) or inspect.isroutine(value):
            yield _Entry(name=attribute if root == "builtins" else f"{name}.{attribute}", value=value)


def _methods(owner: _Entry) -> Iterator[_Entry]:
    """The methods written in the class itself, without those that another library added to it."""
    root = _root(owner.value.__module__)
    for attribute, value in sorted(vars(owner.value).items()):
        added = _root(getattr(value, "__module__", None) or root) != root
        if not attribute.startswith("_") and not added and inspect.isroutine(value):
            yield _Entry(name=f"{owner.name}.{attribute}", value=value)


def _root(module: str | None) -> str:
    root = (module or "").partition(".")[0].lstrip("_")
    return {"posix": "os", "nt": "os", "posixpath": "os", "ntpath": "os"}.get(root, root)


def _documentation(value: object) -> str:
    text = vars(value).get("__doc__") if inspect.isclass(value) else getattr(value, "__doc__", None)
    if not isinstance(text, str) or text.startswith(f"{getattr(value, '__name__', '')}("):
        return ""
    return shorten(inspect.cleandoc(text))


def _signature(entry: _Entry) -> str:
    try:
        signature = f"def {entry.name.rpartition('.')[2]}{inspect.signature(entry.value)}"
    except Exception:  # inspect evaluates the defaults that C modules wrote: select's, on 3.13, is an AttributeError
        return ""
    return "" if _UNSTABLE.search(signature) or signature.count(",") < 2 else shorten(signature)
