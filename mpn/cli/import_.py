"""mpn import: weights that the authors' code saved in, a model of mpn out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mpn.cli import UsageError, fit, new_parser
from mpn.errors import CheckpointError
from mpn.model.checkpoint import Checkpoint, save_checkpoint
from mpn.published_weights.convert import META, Imported, import_weights

EXAMPLES = """  mpn import model_ped2.pth --out ped2_published.safetensors
  mpn import meta_sh.pth --base pretrain_model.pth --out sh_meta.safetensors"""
SUFFIX = ".safetensors"


def parser() -> argparse.ArgumentParser:
    """The verb's arguments."""
    own = new_parser(
        "import",
        "Turns a file that the paper's authors' code saved (github.com/ktr-hubrt/MPN: a pickled "
        "module, or the tensors and step sizes of a meta-training) into a model of mpn. A pickle "
        "is a program; this one is not run: it is only looked through for tensors, and refused "
        "where it asks for anything else.",
        EXAMPLES,
    )
    own.add_argument(
        "file", type=Path, metavar="FILE", help="the .pth file that Train.py or Train_meta.py saved"
    )
    own.add_argument(
        "--base",
        type=Path,
        metavar="BASE",
        help="for a meta-training, which holds seven tensors only: the model that it began with, "
        "theirs or of mpn",
    )
    own.add_argument(
        "--out", type=Path, metavar="FILE", help=f"default: NAME{SUFFIX} in this folder"
    )
    own.add_argument("--force", action="store_true", help="replace --out if it is there already")
    own.add_argument(
        "--json", action="store_true", help="print one JSON document instead of the text"
    )
    return own


def main(options: argparse.Namespace) -> None:
    """Runs the verb."""
    out = options.out or Path(options.file.stem + SUFFIX)
    if out.suffix != SUFFIX:
        raise UsageError(f"--out {out}: the name of a model ends in {SUFFIX}")
    if out.exists() and not options.force:
        raise CheckpointError(
            f"{out} is there already: give another --out, or --force to replace it"
        )
    checkpoint, found = import_weights(options.file, options.base)
    save_checkpoint(out, checkpoint)
    if options.json:
        print(
            json.dumps(_facts(found, checkpoint) | {"file": str(out), "bytes": out.stat().st_size})
        )
        return
    print(fit(_text(found, checkpoint)))
    written = f"written: {out} ({out.stat().st_size / 1e6:.1f} MB)"
    print(fit(f"{written}; it has no normal scores, so no threshold is known yet"))
    print(f"next: mpn adapt NORMAL_FOOTAGE --checkpoint {out} --out CAMERA.camera{SUFFIX}")


def _facts(found: Imported, checkpoint: Checkpoint) -> dict[str, object]:
    """What was found, as JSON has it."""
    return {
        "source": str(found.path),
        "sha256": found.sha256,
        "format": found.layout,
        "kind": found.kind,
        "described": found.described,
        "epoch": found.epoch,
        "tensors": found.tensors,
        "numbers": found.numbers,
        "base": None if found.base is None else str(found.base),
        "preset": checkpoint.config.to_dict(),
    }


def _text(found: Imported, checkpoint: Checkpoint) -> str:
    """What was found, for a person."""
    when = "" if found.epoch is None else f", saved in epoch {found.epoch}"
    lines = [
        f"{found.path}: {found.described}{when}, in the format of torch.save {found.layout}",
        f"  {found.tensors} tensors with {found.numbers:,} numbers",
        f"  SHA-256 {found.sha256}",
    ]
    if found.kind == META:
        lines.append(
            f"  with a step size for each of them; the other tensors are those of {found.base}"
        )
    own = checkpoint.config
    colours = "grey" if own.grey else "BGR"
    lines.append(
        f"preset {own.name!r}: windows of {own.window} {colours} frames of "
        f"{own.height}x{own.width}, {own.prototypes} prototypes"
    )
    return "\n".join(lines)
