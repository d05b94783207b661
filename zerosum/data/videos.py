"""Videos: every frame changed, one after the other; timing, sound, orientation and colour space kept.

Reading and writing need PyAV, the extra `video`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np

from zerosum.core.errors import BadData, BadOption
from zerosum.core.extras import require
from zerosum.core.files import naming
from zerosum.data.pixels import change_bits, change_channels

WRITTEN = {
    ".mp4": ("mp4", "libx264"), ".m4v": ("mp4", "libx264"), ".mov": ("mov", "libx264"), ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
}  # fmt: skip
"""Ending of a file that is written -> format and encoder."""
READ = {*WRITTEN, ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".m2ts", ".3gp", ".ogv"}
"""Endings of files that are taken for videos."""
QUALITY = {"libx264": {"crf": "16"}, "libvpx-vp9": {"crf": "24", "b": "0"}}
UNSPECIFIED = 2
"""What FFmpeg calls colours that the file does not tell the meaning of."""
RATE = Fraction(25)
"""Frames a second where the file does not tell."""
TICKS = 10_000
"""The least by which a second is divided, for frames that do not come evenly."""
Change = Callable[[np.ndarray], np.ndarray]
"""A frame (h, w, 3) of uint8 to another, (h', w', 1, 3 or 4) of uint8 or uint16, of the same size for all."""


def rewrite(
    source: Path | str, target: Path | str, change: Change, seen: Callable[[int, int | None], None] = lambda n, of: None
) -> list[str]:
    """Write `target`: the video `source` with all of its frames changed. It is there whole, or not at all.

    Frames keep their times, even or not, so that sound, which is copied as it is, stays in step. Transparency is laid
    over white; sizes that are odd, which H.264 does not know, grow by a pixel that repeats the border.

    Args:
        change: called with each frame as one sees it (turned as the file says).
        seen: called after each frame with how many are done, and how many there are where the file tells.

    Returns:
        what could not be kept, in words.

    Raises:
        MissingExtra: PyAV is not installed.
        BadData: the source cannot be read or decoded, or has no frames.
        BadOption: the target's ending is not that of a video that can be written.
        BadFile: the target cannot be written.

    Example:
        >>> rewrite("drive.mp4", "night.mp4", lambda frame: translator.translate(frame)[0])
    """
    source, target = Path(source), Path(target)
    av = require("av", "video")
    if target.suffix.lower() not in WRITTEN:
        raise BadOption(f"{target}: videos are written as {', '.join(WRITTEN)}.")
    form, codec = WRITTEN[target.suffix.lower()]
    with (
        _opened(av, source) as inside,
        _whole(target) as file,
        naming(target),
        av.open(file, "w", format=form) as outside,
    ):
        copy = _Copy(av, inside, outside, codec, target.suffix)
        for packet in inside.demux(copy.picture, *copy.sounds):
            if packet.stream.type == "audio":
                copy.hear(packet)
                continue
            for frame in _decoded(av, packet, source, copy.frames):
                copy.show(frame, change)
                seen(copy.frames, copy.picture.frames or None)
        if not copy.frames:
            raise BadData(f"{source} has no video frames.")
        copy.finish()
    return copy.lost


def frame_count(path: Path | str) -> int | None:
    """How many frames a video says it has; None where it does not. Raises as `rewrite`."""
    with _opened(require("av", "video"), Path(path)) as inside:
        return inside.streams.video[0].frames or None


class _Copy:
    """A video on its way from one container into another.

    Attributes:
        frames: how many were written.
        lost: what could not be kept, in words.
    """

    def __init__(self, av: Any, inside: Any, outside: Any, codec: str, ending: str):
        self.av, self.outside = av, outside
        self.picture = inside.streams.video[0]
        self.picture.thread_type = "AUTO"
        self.frames, self.last, self.lost = 0, -(2**62), list[str]()
        self.rate = self.picture.average_rate or self.picture.guessed_rate or RATE
        self.stream = outside.add_stream(codec, rate=self.rate)
        self.stream.codec_context.options = QUALITY[codec]
        self.sounds = {}
        for sound in inside.streams.audio:
            if sound.codec_context.codec.canonical_name in outside.supported_codecs:
                self.sounds[sound] = outside.add_stream_from_template(sound)
            else:
                self.lost.append(f"its sound ({sound.codec_context.name}) cannot be copied into {ending}: left out")
        self.waiting: list[Any] = []  # sound that comes before the size of the frames, which the file begins with

    def hear(self, packet: Any) -> None:
        """Copy a piece of sound."""
        if packet.dts is None:  # the last, empty one
            return
        packet.stream = self.sounds[packet.stream]
        if self.frames:
            self.outside.mux(packet)
        else:
            self.waiting.append(packet)

    def show(self, frame: Any, change: Change) -> None:
        """Change a frame and write it."""
        colours = None if frame.colorspace == UNSPECIFIED else frame.colorspace
        # The second one means nothing for RGB, but PyAV below 17 heeds the first only where the two differ.
        pixels = frame.reformat(format="rgb24", src_colorspace=colours, dst_colorspace=UNSPECIFIED).to_ndarray()
        pixels = np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
        made = change_channels(change_bits(change(pixels), 8), 3)
        made = np.pad(made, ((0, made.shape[0] % 2), (0, made.shape[1] % 2), (0, 0)), mode="edge")
        if not self.frames:
            self._begin(made, colours)
        if made.shape[:2] != (self.stream.height, self.stream.width):
            size = f"{made.shape[1]} x {made.shape[0]} pixels, those before {self.stream.width} x {self.stream.height}"
            raise BadData(f"frame {self.frames + 1} is made {size}: a video has frames of one size.")
        new = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(made), format="rgb24")
        new = new.reformat(format="yuv420p", dst_colorspace=colours)
        new.pts, new.time_base = self._place(frame), self.stream.codec_context.time_base
        self.outside.mux(self.stream.encode(new))
        self.frames += 1
        while self.waiting:
            self.outside.mux(self.waiting.pop(0))

    def _begin(self, made: np.ndarray, colours: int | None) -> None:
        """Tell the encoder what the first frame tells of all."""
        (self.stream.height, self.stream.width), self.stream.pix_fmt = made.shape[:2], "yuv420p"
        context, given = self.stream.codec_context, self.picture.codec_context
        fine = -(-TICKS // self.rate.numerator)
        context.time_base = Fraction(1, self.rate.numerator * fine)  # of which a frame takes a whole number
        if colours is not None:
            context.colorspace, context.color_range = colours, 1  # from 16 to 235
            context.color_primaries, context.color_trc = given.color_primaries, given.color_trc

    def _place(self, frame: Any) -> int:
        """When a frame is shown, in the encoder's time base: the frame's own time, free of its container's rounding."""
        time, step = Fraction(self.frames, 1) / self.rate, 1 / self.rate
        if frame.pts is not None:
            time = frame.pts * frame.time_base
            even = round(time / step) * step
            time = even if abs(even - time) <= frame.time_base else time
        self.last = max(round(time / self.stream.codec_context.time_base), self.last + 1)
        return self.last

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self.outside.mux(self.stream.encode(None))


@contextlib.contextmanager
def _opened(av: Any, source: Path) -> Iterator[Any]:
    """The container of a video. Raises BadData where it cannot be read, or has no pictures."""
    try:
        inside = av.open(str(source))
    except (av.FFmpegError, OSError) as error:
        raise BadData(f"{source} cannot be read as a video: {_reason(error)}.") from error
    with inside:
        if not inside.streams.video:
            raise BadData(f"{source} has no video frames.")
        yield inside


def _decoded(av: Any, packet: Any, source: Path, done: int) -> list[Any]:
    """The frames that a packet completes. Raises BadData for a damaged one."""
    try:
        return packet.decode()
    except av.FFmpegError as error:
        seconds = "" if packet.pts is None else f", at {float(packet.pts * packet.time_base):.2f} s"
        raise BadData(f"{source} has a damaged frame after the first {done:,}{seconds}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[IO[bytes]]:
    """A file to write, which becomes `target` on leaving, flushed to the disk; after an error it is removed."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open("w+b")
    try:
        yield file
        with naming(target):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            temporary.replace(target)
    except BaseException:
        file.close()
        temporary.unlink(missing_ok=True)
        raise
