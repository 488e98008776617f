// One pass: where between neighbouring pixels of the map the border between two labels runs, by their probabilities: the points
// through which outlines go. As `crossing` in src/track/outline.rs, rounded to a 256th of a map pixel. With labels of three
// bytes a pixel (label and two crossings) an outline can be drawn without the probabilities: see mask_overlay.cu.
//
// in   labels      width·height bytes: 0 nothing, 255 instrument, else a tissue's class id
//      tissue      a plane of width·height probabilities a channel
//      instrument  one plane; read where a label says instrument
// out  edges       2 bytes a pixel: to its right and to its lower neighbour; 0 where the label is the same or there is none,
//                  else the distance of the border from this pixel's centre in 256ths of the way to the other's
//
// One thread a pixel, THREADS to a block.

#define THREADS 256
#define NOTHING 0
#define INSTRUMENT 255
#define KEEP_OFF 0.02f
#define MOST_CHANNELS 64

struct EdgeParams {
    unsigned width, height;
    float instrument_threshold, tissue_threshold;
    unsigned channels;
    unsigned char classes[MOST_CHANNELS];
};

// How far inside the region of a channel a pixel lies: 0 on its edge.
__device__ float tissue_margin(const EdgeParams *p, const float *tissue, unsigned channel, unsigned at)
{
    unsigned pixels = p->width * p->height;
    float rival = p->tissue_threshold;
    for (unsigned other = 0; other < p->channels; other++)
        if (other != channel)
            rival = fmaxf(rival, tissue[other * pixels + at]);
    return tissue[channel * pixels + at] - rival;
}

__device__ float crossing(const EdgeParams *p, const unsigned char *labels, const float *tissue, const float *instrument, unsigned here,
                          unsigned there)
{
    float inside, outside;
    if (labels[here] == INSTRUMENT || labels[there] == INSTRUMENT) {
        // One curve for the instrument and for the tissue that ends at it.
        inside = instrument[here] - p->instrument_threshold;
        outside = instrument[there] - p->instrument_threshold;
    } else {
        unsigned char label = labels[here] != NOTHING ? labels[here] : labels[there];
        unsigned channel = 0;
        while (channel < p->channels && p->classes[channel] != label)
            channel++;
        if (channel == p->channels)
            return 0.5f;
        inside = tissue_margin(p, tissue, channel, here);
        outside = tissue_margin(p, tissue, channel, there);
    }
    // A pixel that was given to its surroundings does not cross; then the border is midway.
    if (!(inside * outside < 0.0f))
        return 0.5f;
    return fminf(fmaxf(inside / (inside - outside), KEEP_OFF), 1.0f - KEEP_OFF);
}

extern "C" __global__ void mask_edges(const __grid_constant__ EdgeParams p, const unsigned char *labels, const float *tissue,
                                      const float *instrument, unsigned char *edges)
{
    unsigned at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= p.width * p.height)
        return;
    bool has_right = at % p.width + 1 < p.width, has_lower = at / p.width + 1 < p.height;
    unsigned char right = 0, lower = 0;
    if (has_right && labels[at] != labels[at + 1])
        right = (unsigned char)(crossing(&p, labels, tissue, instrument, at, at + 1) * 256.0f + 0.5f);
    if (has_lower && labels[at] != labels[at + p.width])
        lower = (unsigned char)(crossing(&p, labels, tissue, instrument, at, at + p.width) * 256.0f + 0.5f);
    edges[2 * at] = right;
    edges[2 * at + 1] = lower;
}
