"""An RTSP server of films, as cameras would send them: at their own pace, once for all viewers.

    /usr/bin/python3 benchmarks/rtsp_server.py PORT FILM.mp4...

Needs GStreamer and its Python binding from the system's packages (docs/live.md names none of it: a
user has cameras), so it is run by the system's interpreter and imports nothing of mpn. Film k is
rtsp://127.0.0.1:PORT/k and begins when it is first asked for. Standard output gets a line for every
second of a film: its number, a frame's number and the Unix seconds at which the frame was sent.
"""

import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

RATE = 10  # frames a second of the films


def watch(media, number):
    """Say when frames are sent, as soon as the film is ready to be."""
    pay = media.get_element().get_by_name("pay0")
    last = [0]

    def passed(pad, info):
        # The frame before is sent when this one gets here: the next in line waits for its time.
        frame = round(info.get_buffer().pts / Gst.SECOND * RATE) - 1
        if frame >= last[0] + RATE:
            last[0] = frame
            sys.stdout.write(f"{number} {frame} {time.time()}\n")  # in one piece: films are threads
            sys.stdout.flush()
        return Gst.PadProbeReturn.OK

    pay.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, passed)


def main():
    """Serves until it is stopped."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    for number, film in enumerate(sys.argv[2:]):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(
            f'( filesrc location="{film}" ! qtdemux ! h264parse '
            "! rtph264pay name=pay0 pt=96 config-interval=1 )"
        )
        factory.set_shared(True)
        factory.connect("media-configure", lambda _, media, camera=number: watch(media, camera))
        server.get_mount_points().add_factory(f"/{number}", factory)
    server.attach(None)
    print("serving", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
