"""What else people send: other kinds of file, known by their first bytes or a zip's entries, and what to do then."""

from collections.abc import Set

from adapt.errors import FormatRefused

EXPORT = "torch.export.save(torch.export.export(model.eval(), (images,)), 'net.pt2')"
HOW = f"send a .pt2 ({EXPORT}), an .onnx, or a .safetensors file that carries its architecture"
FROM_PICKLE = (
    f"build the model, load_state_dict and write {EXPORT}; or, for a network that the zoo has, "
    "safetensors.torch.save_file(torch.load(PATH, weights_only=True), 'net.safetensors') and send that with "
    "`architecture`, the zoo's name"
)
FROM_KERAS = "write an ONNX file of it with tf2onnx"

_STARTS = (
    (0, b"\x80\x02", "a pickle (torch.save), which is never loaded", FROM_PICKLE),
    (0, b"\x80\x03", "a pickle, which is never loaded", FROM_PICKLE),
    (0, b"\x80\x04", "a pickle, which is never loaded", FROM_PICKLE),
    (0, b"\x80\x05", "a pickle, which is never loaded", FROM_PICKLE),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)", FROM_KERAS),
    (4, b"TFL3", "a TensorFlow Lite file, which is compiled for inference", "send the network it was made from"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file it stands for", "fetch that with: git lfs pull"),
    (0, b"\x1f\x8b", "a gzip archive", f"unpack it; {HOW}"),
    (0, b"\xfd7zXZ", "an xz archive", f"unpack it; {HOW}"),
    (0, b"7z\xbc\xaf", "a 7z archive", f"unpack it; {HOW}"),
)
"""Offset, bytes there, what it is, what to do."""


def refuse_by_start(start: bytes) -> None:
    """Raises FormatRefused where the first bytes of a file are those of a kind that is known and not read."""
    if not start:
        raise FormatRefused("", f"the file is empty; {HOW}")
    for offset, mark, kind, how in _STARTS:
        if start[offset:].startswith(mark):
            raise FormatRefused("", f"{kind}; {how}")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise FormatRefused("", f"a web page, perhaps of a download that asked to sign in; {HOW}")


def refuse_other_zips(names: Set[str]) -> None:
    """Raises FormatRefused for a zip archive, with entries of these names, that is no .pt2 as torch writes it today."""
    tops = {name.partition("/")[2] for name in names}
    if "models/model.json" in tops:
        return
    if "serialized_exported_program.json" in names | tops:
        raise FormatRefused(
            "", f"an archive in the layout of an older torch.export; with torch 2.9 or newer, write {EXPORT}"
        )
    if any(name.startswith("code/") for name in tops) or "constants.pkl" in tops:
        raise FormatRefused("", f"a TorchScript file, which holds code; from the model itself, write {EXPORT}")
    if "data.pkl" in names | tops:
        raise FormatRefused("", f"a pickled checkpoint (torch.save), which is never loaded; {FROM_PICKLE}")
    if {"config.json", "metadata.json"} <= names:
        raise FormatRefused("", f"a Keras archive; {FROM_KERAS}")
    if any(name.endswith("saved_model.pb") for name in names):
        raise FormatRefused("", f"a TensorFlow SavedModel; {FROM_KERAS}")
    if inner := sorted(name for name in names if name.endswith((".pt2", ".onnx", ".safetensors", ".pth", ".pt"))):
        raise FormatRefused("", f"a zip archive around {inner[0][:100]!a}; unpack it, and send the network's own file")
    raise FormatRefused("", f"a zip archive without models/model.json, so no exported network; {HOW}")
