"""Pictures of the prototype unit's insides.

Each has a sentence for someone who has not read the paper. No torch.

Maps are drawn in OpenCV's inferno: black is none, yellow is most. Encodings have many numbers at
every position, of which a picture has three: their principal components, as colours that mean
nothing but alike and not alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mpn.report.model import EventRow, Picture

if TYPE_CHECKING:
    from mpn.scoring.inspection import Activations

# of a picture: narrower frames are enlarged to it or above, by whole numbers; wider than twice,
# reduced
WIDTH = 192
DIMMED = 0.45  # of a frame's brightness, below a map
FULL_ERROR = 0.25  # difference, of the range from black to white, that is drawn brightest
MAX_SQUARES = 192  # of a map, side by side; more are joined
# So many grey levels are drawn as one, in maps and below them: the file is smaller by half, and
# nobody counts them.
SHADES = 8
MIN_SPAN = 0.3  # of a principal component's scale, in that of the widest
EVEN = 4  # attention that is so many times an even spread is drawn brightest, at least
TEXT = "#767676"  # readable on white and on black
DPI = 96


def pictures_of(activations: Activations) -> list[Picture]:
    """Draw everything in a network for one frame.

    As pictures: frame, prediction, error, encodings, prototypes.
    """
    return [
        *_frames(activations),
        *_encodings(activations),
        *_prototypes(activations),
        *([_cosines(activations.cosines)] if len(activations.cosines) else []),
    ]


def choose_rows(
    scores: np.ndarray, events: Sequence[EventRow], max_rows: int = 4
) -> list[tuple[int, str]]:
    """Choose the rows of a video that are worth a look inside, and say why.

    They are the peaks of its strongest events (without any, its highest score), the strongest
    first, and its lowest score, to compare with.

    Args:
        scores: (T,), NaN where there is none.
        events: in the order in which they are numbered.
        max_rows: at least 1.
    """
    scored = np.flatnonzero(np.isfinite(scores))
    if not scored.size:
        return []
    strongest = sorted(enumerate(events, 1), key=lambda item: -item[1].score)[
        : max(max_rows - 1, 1)
    ]
    chosen = [(event.peak, f"event {number} at its highest") for number, event in strongest]
    if not chosen:
        chosen = [(int(scored[scores[scored].argmax()]), "the highest score of this video")]
    lowest = int(scored[scores[scored].argmin()])
    if len(chosen) < max_rows and lowest not in dict(chosen):
        chosen.append((lowest, "the lowest score of this video, to compare with"))
    return chosen


# --- The three groups


def _frames(activations: Activations) -> list[Picture]:
    size = _shown_size(activations)
    height, width, colours = activations.target.shape
    dimensions = f"{height} x {width} pixels, {'in colour' if colours == 3 else 'grey'}"
    pictures = [
        _picture(
            "The frame",
            f"What the camera showed, as the network sees it: {dimensions}.",
            _resized(activations.target, size),
        ),
        _picture(
            "The prediction",
            "What the network expected to see, from the frames before alone.",
            _resized(activations.prediction, size),
        ),
        _picture(
            "The error",
            "Where frame and prediction differ, black where they agree; the "
            f"largest difference is {activations.error.max():.0%} of the range from black to "
            "white.",
            _heat(activations.error / FULL_ERROR, size),
        ),
    ]
    if activations.pseudo is not None:
        caption = (
            "Where the network suspects something foreign: it was trained to find objects "
            f"pasted into normal footage; here it is {activations.pseudo.max():.0%} sure at "
            "most."
        )
        pictures.append(_picture("Suspicion", caption, _over(activations, activations.pseudo)))
    return pictures


def _encodings(activations: Activations) -> list[Picture]:
    size = _shown_size(activations)
    strength = _norm(activations.aggregation)
    # the half lies midway between the two
    unit = activations.query, activations.normalcy, activations.aggregation / 2
    query, normalcy, aggregation = _colours(unit, fitted=2)
    return [
        _picture(
            "AE encoding",
            "What the encoder makes of the frames before: places of one colour look alike to it.",
            _blocks(_colours([activations.encoding])[0], size),
        ),
        _picture(
            "AE encoding: strength",
            "How much the encoder has to say of each place; black is least.",
            _heat(_spread(_norm(activations.encoding)), size),
        ),
        _picture(
            "Query encoding",
            "What the network notes of each place before it asks what is "
            "normal; this picture and the two after it share their "
            "colours.",
            _blocks(query, size),
        ),
        _picture(
            "Normalcy encoding",
            "The same as the prototypes would have it: only what they know is left.",
            _blocks(normalcy, size),
        ),
        _picture(
            "Aggregation encoding",
            "Query and normalcy together, from which the next frame is predicted.",
            _blocks(aggregation, size),
        ),
        _picture(
            "Aggregation encoding: strength",
            "How well the prototypes explain each place: yellow where query "
            f"and normalcy agree most ({strength.max():.2f} of 2), black where least "
            f"({strength.min():.2f}).",
            _heat(_spread(strength), size),
        ),
    ]


def _prototypes(activations: Activations) -> list[Picture]:
    pictures = []
    for number, assignment in enumerate(activations.assignment, 1):
        if activations.attention is not None:
            # 1 everywhere where it looks at all places alike
            times = activations.attention[number - 1] * assignment.size
            caption = (
                "The places that this prototype is made from; the "
                f"brightest counts {times.max():.3g} times as much as if all counted the same."
            )
            drawn = _over(activations, times / max(times.max(), EVEN))
            pictures.append(_picture(f"Prototype {number}: where it looks", caption, drawn))
        caption = (
            "The places that are explained by this prototype: "
            f"{assignment.mean():.0%} of the picture, {assignment.max():.0%} of the place "
            "where it counts most."
        )
        drawn = _over(activations, assignment)
        pictures.append(_picture(f"Prototype {number}: where it is used", caption, drawn))
    return pictures


def _cosines(cosines: np.ndarray) -> Picture:
    count = len(cosines)
    figure = Figure(figsize=(2.6, 2.6), dpi=DPI, layout="constrained", facecolor="none")
    panel = figure.subplots()
    panel.imshow(cosines, cmap="RdBu_r", vmin=-1, vmax=1)
    names = [str(number) for number in range(1, count + 1)]
    panel.set_xticks(range(count), names, color=TEXT, fontsize=6.5)
    panel.set_yticks(range(count), names, color=TEXT, fontsize=6.5)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(cosines) if count <= 12 else ():
        ink = "white" if abs(value) > 0.65 else "black"
        panel.text(
            column, row, _number(value, 1), ha="center", va="center", color=ink, fontsize=5.5
        )
    data = BytesIO()
    FigureCanvasAgg(figure).print_png(data)
    apart = cosines[~np.eye(count, dtype=bool)].mean()
    caption = (
        "How alike the prototypes are: red 1 is the same, white 0 nothing in common, blue "
        f"-1 the opposite; {_number(apart, 2)} on average."
    )
    return Picture("Prototypes compared", caption, data.getvalue())


def _number(value: float, digits: int) -> str:
    return f"{round(float(value), digits) + 0.0:.{digits}f}"  # no -0.0


# --- Numbers to pixels


def _picture(title: str, caption: str, pixels: np.ndarray) -> Picture:
    return Picture(
        title, caption, cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    )


def _shown_size(activations: Activations) -> tuple[int, int]:
    """Return (height, width) of a picture."""
    height, width = activations.target.shape[:2]
    factor = max(1.0, -(-WIDTH // width)) if width < WIDTH else min(1.0, 2 * WIDTH / width)
    return round(height * factor), round(width * factor)


def _resized(pixels: np.ndarray, size: tuple[int, int], how: int | None = None) -> np.ndarray:
    if how is None:
        how = cv2.INTER_AREA if pixels.shape[0] > size[0] else cv2.INTER_LINEAR
    return cv2.resize(pixels, size[::-1], interpolation=how)


def _blocks(colours: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw positions as the squares that they are, (h, w, 3)."""
    return _resized(_joined(colours) // SHADES * SHADES, size, cv2.INTER_NEAREST)


def _joined(values: np.ndarray) -> np.ndarray:
    """Average neighbours until there are no more than `MAX_SQUARES` positions in a row.

    Positions are (h, w) or (h, w, 3).
    """
    height, width = values.shape[:2]
    if width <= MAX_SQUARES:
        return values
    return _resized(values, (max(1, height * MAX_SQUARES // width), MAX_SQUARES), cv2.INTER_AREA)


def _heat(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw a map (h, w), 0 to 1 and what is beyond cut off, as uint8 (H, W, 3)."""
    steps = np.rint(_joined(np.clip(values, 0, 1)) * (255 // SHADES)).astype(np.uint8)
    colours = cv2.applyColorMap(
        np.linspace(0, 255, 255 // SHADES + 1).astype(np.uint8), cv2.COLORMAP_INFERNO
    )
    colours[0] = 0  # inferno's own is not quite
    return _resized(colours[steps, 0], size, cv2.INTER_NEAREST)


def _over(activations: Activations, values: np.ndarray) -> np.ndarray:
    """Lay a map (h, w), 0 to 1, over the dimmed grey frame as light is."""
    size = _shown_size(activations)
    frame = activations.target
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) if frame.shape[2] == 3 else frame[:, :, 0]
    dim = (_resized(grey, size) * DIMMED).astype(np.uint8)[:, :, None] // SHADES * SHADES
    light = _heat(values, size)
    return (dim + light * (1 - dim / 255)).astype(np.uint8)


def _norm(values: np.ndarray) -> np.ndarray:
    """Compute lengths of the vectors at each position, (K, h, w) -> (h, w)."""
    return np.linalg.norm(values, axis=0)


def _spread(values: np.ndarray) -> np.ndarray:
    """Put values between 0 and 1; all 0 where they are one."""
    low, high = np.percentile(values, (1, 99))
    return np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)


def _colours(encodings: Sequence[np.ndarray], fitted: int = 1) -> list[np.ndarray]:
    """Draw encodings (K, h, w) as uint8 (h, w, 3).

    Three principal components of the first `fitted` of them, on one scale in all. Components that
    say little fill less of the scale, or their noise would be in all colours.
    """
    points = [encoding.reshape(len(encoding), -1).T for encoding in encodings]
    fitted_points = np.concatenate(points[:fitted])
    centre = fitted_points.mean(axis=0)
    axes = np.linalg.eigh((fitted_points - centre).T @ (fitted_points - centre))[1][:, :-4:-1]
    # their direction is free
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    low, high = np.percentile((fitted_points - centre) @ axes, (1, 99), axis=0)
    span = np.maximum(high - low, MIN_SPAN * (high - low).max() + 1e-12)
    pictures = []
    for encoding, flat in zip(encodings, points):
        shares = ((flat - centre) @ axes - (low + high) / 2) / span + 0.5
        colours = np.full((len(flat), 3), 128, np.uint8)  # grey where there are fewer components
        colours[:, : shares.shape[1]] = np.rint(np.clip(shares, 0, 1) * 255)
        pictures.append(colours.reshape(*encoding.shape[1:], 3))
    return pictures
