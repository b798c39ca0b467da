"""The options of `mpn train` that say which network is trained."""

from __future__ import annotations

import argparse
from dataclasses import replace

from mpn.cli import UsageError, from_zero_float, positive
from mpn.cli.train_arguments import frame_size, weights
from mpn.model.config import CONFIGS, KEYS, UNITS, UP_KERNELS, ModelConfig
from mpn.model.losses import check_loss_weights
from mpn.model.network import check_size


def add_network(verb: argparse.ArgumentParser) -> None:
    """Add the preset, and what can be changed of it.

    Args:
        verb: its parser.
    """
    verb.add_argument("--preset", choices=CONFIGS, help="network (default: small)")
    verb.add_argument(
        "--size", type=frame_size, metavar="HxW", help="such as 128x192 (default: the preset's)"
    )
    verb.add_argument("--colour", choices=("grey", "bgr"), help="default: the preset's")
    verb.add_argument(
        "--channels", type=positive, help="width of the first block (default: the preset's)"
    )
    verb.add_argument(
        "--up-kernel",
        type=int,
        choices=UP_KERNELS,
        help="side of the decoder's transposed convolutions (default: the preset's)",
    )
    verb.add_argument(
        "--unit",
        choices=UNITS,
        help="between decoder and head: prototypes (default), attention to keys, or nothing",
    )
    verb.add_argument(
        "--keys",
        choices=KEYS,
        help="of --unit attention: made from each window (default), or learned",
    )
    verb.add_argument(
        "--loss-weights",
        type=weights(check_loss_weights),
        metavar="NAME=W,...",
        help="weights of loss terms, such as untampered=10,usage=0 (default: the preset's)",
    )
    verb.add_argument(
        "--prototypes-after",
        type=from_zero_float,
        metavar="SHARE",
        help="share of the training in which the loss terms of the prototypes do not count yet "
        "(default: the preset's)",
    )
    verb.add_argument(
        "--no-pseudo-head",
        action="store_true",
        default=None,
        help="without the pseudo-anomaly head",
    )


# None where one was not given.
NETWORK_OPTIONS = (
    *("preset", "size", "colour", "channels", "up_kernel", "unit", "keys", "loss_weights"),
    *("prototypes_after", "no_pseudo_head"),
)


def chosen_preset(options: argparse.Namespace) -> ModelConfig:
    """Change the preset as the options say.

    Args:
        options: of the verb.

    Raises:
        SizeError: a size that the network cannot take.
        UsageError: keys without attention.
        MpnError: a share of the training that is none.
    """
    chosen = CONFIGS[options.preset or "small"]
    if options.size:
        chosen = replace(chosen, height=options.size[0], width=options.size[1])
    if options.colour:
        chosen = replace(chosen, grey=options.colour == "grey")
    if options.channels:
        chosen = replace(chosen, channels=options.channels)
    if options.up_kernel:
        chosen = replace(chosen, up_kernel=options.up_kernel)
    if options.unit:
        chosen = replace(chosen, unit=options.unit)
    if options.keys:
        if chosen.unit != "attention":
            raise UsageError("--keys: only with --unit attention")
        chosen = replace(chosen, keys=options.keys)
    if options.no_pseudo_head:
        chosen = replace(chosen, pseudo_head=False)
    if options.loss_weights:
        chosen = replace(chosen, training=chosen.training.with_weights(options.loss_weights))
    if options.prototypes_after is not None:
        later = replace(chosen.training, prototypes_after=options.prototypes_after)
        chosen = replace(chosen, training=later)
    check_size(chosen, *chosen.size)
    return chosen
