"""The verb `mpn import`: turn weights that the authors' code saved into a model of mpn."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mpn.cli import UsageError, fit, new_parser
from mpn.errors import CheckpointError
from mpn.io.atomic import check_writable
from mpn.model.checkpoint import Checkpoint, save_checkpoint
from mpn.published_weights.convert import META, Imported, import_weights

EXAMPLES = """  mpn import model_ped2.pth --out ped2_published.safetensors
  mpn import meta_sh.pth --base pretrain_model.pth --out sh_meta.safetensors"""
SUFFIX = ".safetensors"


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "import",
        "Turns a file that the paper's authors' code saved (github.com/ktr-hubrt/MPN: a pickled "
        "module, or the tensors and step sizes of a meta-training) into a model of mpn. A pickle "
        "is a program; this one is not run: it is only looked through for tensors, and refused "
        "where it asks for anything else.",
        EXAMPLES,
    )
    verb.add_argument(
        "file", type=Path, metavar="FILE", help="the .pth file that Train.py or Train_meta.py saved"
    )
    verb.add_argument(
        "--base",
        type=Path,
        metavar="BASE",
        help="for a meta-training, which holds seven tensors only: the model that it began with, "
        "theirs or of mpn",
    )
    verb.add_argument(
        "--out", type=Path, metavar="FILE", help=f"default: NAME{SUFFIX} in this folder"
    )
    verb.add_argument("--force", action="store_true", help="replace --out if it is there already")
    verb.add_argument(
        "--json", action="store_true", help="print one JSON document instead of the text"
    )
    return verb


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    out = options.out or Path(options.file.stem + SUFFIX)
    if out.suffix != SUFFIX:
        raise UsageError(f"--out {out}: the name of a model ends in {SUFFIX}")
    if out.exists() and not options.force:
        raise CheckpointError(
            f"{out} is there already: give another --out, or --force to replace it"
        )
    for path in (options.file, options.base):
        if path is not None and out.exists() and path.exists() and out.samefile(path):
            raise CheckpointError(
                f"{out} is what is imported, and would be lost: give another --out"
            )
    check_writable(out)
    checkpoint, imported = import_weights(options.file, options.base)
    save_checkpoint(out, checkpoint)
    if options.json:
        written = {"file": str(out), "bytes": out.stat().st_size}
        print(json.dumps(_facts(imported, checkpoint) | written))
        return
    print(fit(_text(imported, checkpoint)))
    written = f"written: {out} ({out.stat().st_size / 1e6:.1f} MB)"
    print(fit(f"{written}; it has no normal scores, so no threshold is known yet"))
    print(f"next: mpn adapt NORMAL_FOOTAGE --checkpoint {out} --out CAMERA.camera{SUFFIX}")


def _facts(imported: Imported, checkpoint: Checkpoint) -> dict[str, object]:
    """Say what was imported, as JSON has it."""
    return {
        "source": str(imported.path),
        "sha256": imported.sha256,
        "format": imported.layout,
        "kind": imported.kind,
        "described": imported.described,
        "epoch": imported.epoch,
        "tensors": imported.tensors,
        "numbers": imported.numbers,
        "base": None if imported.base is None else str(imported.base),
        "preset": checkpoint.config.to_dict(),
    }


def _text(imported: Imported, checkpoint: Checkpoint) -> str:
    """Say what was imported, for a person."""
    when = "" if imported.epoch is None else f", saved in epoch {imported.epoch}"
    lines = [
        f"{imported.path}: {imported.described}{when}, in the format of torch.save "
        f"{imported.layout}",
        f"  {imported.tensors} tensors with {imported.numbers:,} numbers",
        f"  SHA-256 {imported.sha256}",
    ]
    if imported.kind == META:
        lines.append(
            f"  with a step size for each of them; the other tensors are those of {imported.base}"
        )
    config = checkpoint.config
    colours = "grey" if config.grey else "BGR"
    lines.append(
        f"preset {config.name!r}: windows of {config.window} {colours} frames of "
        f"{config.height}x{config.width}, {config.prototypes} prototypes"
    )
    return "\n".join(lines)
