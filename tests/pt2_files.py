"""Small exported networks, and .pt2 files that were tampered with."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

MODEL = "models/model.json"
CONFIG = "data/weights/model_weights_config.json"


class Small(nn.Module):
    """One of everything that a reader must cope with, in a few kilobytes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish(inplace=True))
        self.depthwise = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.point = nn.Conv2d(8, 8, 1)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.point(torch.relu(self.depthwise(x)))
        return self.head(self.drop(torch.flatten(x.mean((2, 3)), 1)))


def exported(
    module: nn.Module, size: int = 8, *, batch: int | None = None, training: bool = False, channels: int = 3
) -> bytes:
    """`module` as torch.export.save writes it; `batch` fixes the batch size, else it is dynamic."""
    module.train(training)
    images = torch.zeros(batch or 2, channels, size, size)
    dynamic = None if batch else ({0: torch.export.Dim("batch")},)
    return saved(torch.export.export(module, (images,), dynamic_shapes=dynamic))


def saved(program: torch.export.ExportedProgram) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No complete tensor found")  # torch, of every channels_last weight
        torch.export.save(program, buffer)
    return buffer.getvalue()


def small_pt2() -> bytes:
    torch.manual_seed(0)
    return exported(Small())


Edit = Callable[[dict[str, Any]], Any]


def entries(data: bytes) -> dict[str, bytes]:
    """Entry name below the top folder -> content."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename.partition("/")[2]: archive.read(info) for info in archive.infolist()}


def zipped(contents: dict[str, bytes], *, root: str = "net/", compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(root + name, content)
    return buffer.getvalue()


def edited(data: bytes, *, model: Edit | None = None, config: Edit | None = None) -> bytes:
    """The file with its graph or its weights' descriptions changed in place by the given functions."""
    contents = entries(data)
    for name, edit in ((MODEL, model), (CONFIG, config)):
        if edit is not None:
            document = json.loads(contents[name])
            edit(document)
            contents[name] = json.dumps(document).encode()
    return zipped(contents)


def with_entry(data: bytes, name: str, content: bytes | None) -> bytes:
    """The file with one entry replaced, added, or (None) left out."""
    contents = entries(data)
    contents.pop(name, None)
    return zipped(contents if content is None else {**contents, name: content})


def node_of(document: dict[str, Any], target: str) -> dict[str, Any]:
    """The first node of an aten target such as "conv2d.default"."""
    nodes = document["graph_module"]["graph"]["nodes"]
    return next(node for node in nodes if node["target"] == f"torch.ops.aten.{target}")


def set_argument(document: dict[str, Any], target: str, name: str, value: Any) -> None:
    """Sets or adds an argument of the first node of `target`; `value` is a union such as {"as_int": 1}."""
    arguments = node_of(document, target)["inputs"]
    arguments[:] = [argument for argument in arguments if argument["name"] != name]
    arguments.append({"name": name, "arg": value, "kind": 1})
