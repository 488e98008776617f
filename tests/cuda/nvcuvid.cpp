// NVIDIA's decoder library without a decoder, for GStreamer's plugin: each access unit becomes a flat picture, whose luma is 16 + its
// number since the beginning. TEST_CUDA_DECODES=WIDTHxHEIGHT: it decodes H.264, of this size; else nothing. With an `i` behind it
// each picture is two fields. TEST_CUDA_DECODER_LASTS: each decoder fails after so many pictures. Of the driver it uses nothing: device
// memory is the host's there. Holds nothing of NVIDIA's but the functions' names and where they find what they read.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#define API extern "C" __attribute__((visibility("default"))) int
enum { OK = 0, BAD_VALUE = 1, LOST = 719, NOT_SUPPORTED = 801, H264 = 4, IS_4_2_0 = 1, SURFACES = 8 };

struct Size {
    unsigned width = 0, height = 0;
    bool is_progressive = true;

    Size() {
        const char *text = getenv("TEST_CUDA_DECODES");
        if (text && sscanf(text, "%ux%u", &width, &height) != 2) abort();
        is_progressive = !text || !strchr(text, 'i');
    }
};

struct Capabilities {
    int codec, chroma;
    unsigned more_bits, reserved[3];
    unsigned char is_supported, decoders;
    unsigned short formats;
    unsigned most_width, most_height, most_blocks;
    unsigned short least_width, least_height;
};
API cuvidGetDecoderCaps(Capabilities *of) {
    if (of->codec != H264 || of->chroma != IS_4_2_0 || of->more_bits || !Size().width) return NOT_SUPPORTED;
    // NV12 alone.
    of->is_supported = of->decoders = of->formats = 1;
    of->most_width = of->most_height = 4096;
    of->most_blocks = 65536;
    of->least_width = of->least_height = 48;
    return OK;
}

struct Format {
    int codec;
    unsigned rate[2];
    unsigned char is_progressive, more_luma_bits, more_chroma_bits, surfaces;
    unsigned width, height;
    int left, top, right, bottom;
    int chroma;
    unsigned bitrate;
    int aspect[2];
    unsigned char colours[4];
    unsigned extra;
};
struct Shown {
    int surface, is_progressive, is_top_first, repeats;
    long long stamp;
};
struct Parameters {
    unsigned numbers[10];
    void *user;
    int (*sequence)(void *, Format *);
    int (*decode)(void *, int *);
    int (*display)(void *, Shown *);
};
struct Packet {
    unsigned long flags, bytes;
    const unsigned char *data;
    long long stamp;
};
struct Parser {
    Parameters calls;
    int count = 0;
};

API cuvidCreateVideoParser(Parser **parser, Parameters *calls) { *parser = new Parser{*calls}; return OK; }
API cuvidDestroyVideoParser(Parser *parser) { delete parser; return OK; }
API cuvidParseVideoData(Parser *parser, Packet *packet) {
    if (packet->bytes == 0) return OK;
    Size size;
    unsigned width = size.width, height = size.height;
    Format format = {H264, {30, 1}, size.is_progressive, 0, 0, SURFACES, (width + 15) / 16 * 16, (height + 15) / 16 * 16, 0, 0, (int)width, (int)height,
                     IS_4_2_0, 0, {1, 1}, {}, 0};
    if (parser->count == 0 && !parser->calls.sequence(parser->calls.user, &format)) return BAD_VALUE;
    // The third number is the surface; the last is ours.
    std::vector<int> picture(4096);
    int number = parser->count++;
    picture[2] = number % SURFACES;
    picture.back() = number;
    Shown shown = {number % SURFACES, size.is_progressive, 1, 0, packet->stamp};
    return parser->calls.decode(parser->calls.user, picture.data()) && parser->calls.display(parser->calls.user, &shown) ? OK : BAD_VALUE;
}

// Rows begin at multiples of 512 bytes; chroma follows the rows of luma.
struct Decoder {
    Size size;
    unsigned pitch = (size.width + 511) / 512 * 512;
    std::vector<unsigned char> surfaces[SURFACES];
};
API cuvidCreateDecoder(Decoder **decoder, void *) { *decoder = new Decoder; return OK; }
API cuvidDestroyDecoder(Decoder *decoder) { delete decoder; return OK; }
API cuvidDecodePicture(Decoder *decoder, const int *picture) {
    const char *lasts = getenv("TEST_CUDA_DECODER_LASTS");
    if (lasts && picture[4095] >= atoi(lasts)) return LOST;
    auto &surface = decoder->surfaces[picture[2]];
    unsigned height = decoder->size.height;
    surface.assign(decoder->pitch * (height + (height + 1) / 2), 128);
    memset(surface.data(), 16 + picture[4095], decoder->pitch * height);
    return OK;
}
API cuvidMapVideoFrame64(Decoder *decoder, int surface, unsigned long long *pointer, unsigned *pitch, void *) {
    *pointer = (unsigned long long)decoder->surfaces[surface].data();
    *pitch = decoder->pitch;
    return OK;
}
API cuvidUnmapVideoFrame64(Decoder *, unsigned long long) { return OK; }

API cuvidCtxLockCreate(void **lock, void *) { *lock = nullptr; return OK; }
API cuvidCtxLockDestroy(void *) { return OK; }
API cuvidCtxLock(void *, unsigned) { return OK; }
API cuvidCtxUnlock(void *, unsigned) { return OK; }
