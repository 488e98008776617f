// What GStreamer asks of a driver besides (its libgstcuda takes all of these functions or none): contexts on a stack, pictures with a
// pitch, copies in two dimensions. Part of driver.cpp.

#pragma once

// Who is current now lies in `current`; whom it took the place of, here.
static thread_local std::vector<void *> below;

API cuCtxPushCurrent_v2(void *context) {
    below.push_back(current);
    current = context;
    return OK;
}
API cuCtxPopCurrent_v2(void **context) {
    if (below.empty()) return BAD_VALUE;
    if (context) *context = current;
    current = below.back();
    below.pop_back();
    return OK;
}
API cuCtxCreate_v2(void **context, unsigned, int) { return cuCtxPushCurrent_v2(*context = new int); }
API cuCtxDestroy_v2(int *context) { delete context; return OK; }
API cuCtxEnablePeerAccess(void *, unsigned) { return NOT_SUPPORTED; }
API cuCtxDisablePeerAccess(void *) { return NOT_SUPPORTED; }
API cuDeviceCanAccessPeer(int *can, int, int) { *can = 0; return OK; }

// Rows begin at multiples of 512 bytes, as on a card.
API cuMemAllocPitch_v2(Pointer *pointer, size_t *pitch, size_t width, size_t height, unsigned) {
    *pitch = (width + 511) / 512 * 512;
    return cuMemAlloc_v2(pointer, *pitch * height);
}
API cuMemAllocHost_v2(void **pointer, size_t bytes) { return cuMemHostAlloc(pointer, bytes, 0); }

// A place of a copy: 1 is the host's memory, 2 the device's, which is the host's here as well.
struct Side {
    size_t x, y;
    int kind;
    char *host, *device, *array;
    size_t pitch;

    bool is_usable() const { return kind == 1 || kind == 2; }
    char *row(size_t number) const { return (kind == 1 ? host : device) + (y + number) * pitch + x; }
};
struct Copy2D {
    Side from, to;
    size_t width, height;

    bool is_usable() const { return from.is_usable() && to.is_usable() && width <= from.pitch && width <= to.pitch; }
    void run() const {
        for (size_t row = 0; row < height; row++) memcpy(to.row(row), from.row(row), width);
    }
};
API cuMemcpy2D_v2(const Copy2D *copy) {
    if (!current || !copy->is_usable()) return BAD_VALUE;
    copy->run();
    return OK;
}
// What is told to a stream of GStreamer's, or to none, is done at once: it is another thread that does it.
API cuMemcpy2DAsync_v2(const Copy2D *copy, Stream *stream) {
    if (!stream || stream->at_once) return cuMemcpy2D_v2(copy);
    return copy->is_usable() ? queue(stream, [copy = *copy] { copy.run(); }) : BAD_VALUE;
}
API cuStreamCreate(Stream **stream, unsigned) { (*stream = new Stream)->at_once = true; return OK; }
API cuStreamDestroy(Stream *) { return OK; }

// No picture comes from OpenGL, and no kernel of GStreamer's is run.
#define WITHOUT(function) API function(void *, ...) { return NOT_SUPPORTED; }
WITHOUT(cuGraphicsMapResources)
WITHOUT(cuGraphicsUnmapResources)
WITHOUT(cuGraphicsUnregisterResource)
WITHOUT(cuGraphicsResourceSetMapFlags_v2)
WITHOUT(cuGraphicsSubResourceGetMappedArray)
WITHOUT(cuGraphicsResourceGetMappedPointer_v2)
WITHOUT(cuGraphicsGLRegisterImage)
WITHOUT(cuGraphicsGLRegisterBuffer)
WITHOUT(cuGLGetDevices_v2)
WITHOUT(cuTexObjectCreate)
WITHOUT(cuTexObjectDestroy)
