"""What a file is, by its first and last bytes: compared, never read."""

import os
import re
from typing import BinaryIO

HEAD_BYTES = 4096
ZIP64_LOCATOR = b"PK\x06\x07"
ZIP_END = b"PK\x05\x06"
_ZIP_END_SIZE, _ZIP_COMMENT = 22, 65535

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (rb"\x80[\x02-\x05]", "a Python pickle"),
    (rb"\(?[cio][A-Za-z_][\w.]*\n[\w.]+\n|\([dlt]p\d+\n|\(?\(?[dl]p\d+\n", "a Python pickle"),
    (rb"\x1f\x8b", "a file compressed by gzip, as joblib writes"),
    (rb"\x78[\x01\x5e\x9c\xda]", "a file compressed by zlib, as joblib writes"),
    (rb"BZh[1-9]", "a file compressed by bzip2, as joblib writes"),
    (rb"\xfd7zXZ\x00", "a file compressed by xz, as joblib writes"),
    (rb"\x5d\x00\x00", "a file compressed by lzma, as joblib writes"),
    (rb"\x04\x22\x4d\x18|\x28\xb5\x2f\xfd", "a compressed file"),
    (rb"\x93NUMPY", "a NumPy array (.npy)"),
    (rb"PK\x03\x04(?s:.){22,4000}\.pkl", "a zip archive with a pickle in it, as PyTorch writes (.pt)"),
    (rb"PK\x03\x04(?s:.){22,4000}\.npy", "an archive of NumPy arrays (.npz)"),
    (rb"PK(?:\x03\x04|\x05\x06)", "a zip archive"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes"),
    (rb"GGUF", "a GGUF file"),
    (rb"(?s:.){4}TFL3", "a TensorFlow Lite file"),
    (rb"(?s:.){4}\x00{4}\{", "a safetensors file"),
    (rb"(?s:.){257}ustar", "a tar archive"),
    (rb"\x7fELF|MZ|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe", "a program"),
    (rb"version https://git-lfs", "a pointer of Git LFS; fetch the file that it stands for"),
    (rb"(?i:\s*<(?:!doctype html|html|head|body))", "a web page"),
    (rb"\s*<\?xml", "XML"),
    (rb"\s*\{", "JSON"),
)
_KINDS = tuple((re.compile(pattern), kind) for pattern, kind in _MAGIC)
_python = re.compile(rb"(?m)^(?:#!.*python|import \w|from [\w.]+ import |def \w+\(|class \w+)")
_text = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]+").fullmatch


def seems(file: BinaryIO) -> str | None:
    """What a file is that is plainly no ONNX; `None` where it may be one."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if not head:
        return "empty"
    kind = next((kind for pattern, kind in _KINDS if pattern.match(head)), None)
    if kind is None and _text(head):
        kind = "Python source" if _python.search(head) else "text"
    if kind is None and _ends_as_zip(file, size):
        kind = "a zip archive as well, behind what comes before"
    return kind


def _ends_as_zip(file: BinaryIO, size: int) -> bool:
    """Whether a program that reads zip archives would find one at the end, whatever comes first."""
    begin = max(0, size - _ZIP_END_SIZE - _ZIP_COMMENT)
    file.seek(begin)
    tail = file.read()
    place = tail.rfind(ZIP_END)
    while place >= 0:
        if tail[max(0, place - 20) : place - 16] == ZIP64_LOCATOR:
            return True
        directory = begin + place - int.from_bytes(tail[place + 12 : place + 16], "little")
        if directory >= 0:
            file.seek(directory)
            if file.read(4) in {b"PK\x01\x02", ZIP_END}:
                return True
        place = tail.rfind(ZIP_END, 0, place)
    return False
