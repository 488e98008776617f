#!/usr/bin/env python3
"""A real RTSP server on loopback for the tests: GStreamer's own, in a process that can be killed and stopped.

rtsp.py PORT DESCRIPTION   PORT 0: any; says the port on its first line and `playing` for each client. DESCRIPTION ends in a payloader named pay0.
"""
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f"( {sys.argv[2]} )")
factory.set_shared(True)
server.get_mount_points().add_factory("/scope", factory)
if server.attach(None) == 0:
    sys.exit(f"port {sys.argv[1]} is taken")


def say_playing(*_):
    try:
        print("playing", flush=True)
    except BrokenPipeError:
        pass  # Nobody listens; what is served is served all the same.


server.connect("client-connected", lambda _, client: client.connect("play-request", say_playing))
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
