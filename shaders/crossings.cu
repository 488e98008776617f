// One pass: where between neighbouring pixels of two regions the border runs, by their probabilities: the points through which
// outlines go. As `crossing` in src/track/outline.rs, to the last bit. Only borders are listed: each pixel of a region that is not
// nothing, row by row, its right, lower, left and upper neighbour, where that lies in another region.
//
// crossings_count  in   map         width·height region numbers (track::Regions)
//                       list        of each region its label (0 nothing, 255 instrument, else a tissue's class id)
//                  out  counts      a number a block: how many crossings its pixels have
// crossings_list   in   map, list, counts
//                       tissue      a plane of width·height probabilities a channel
//                       instrument  one plane; read where a label says instrument
//                  out  crossings   0 at this pixel's centre, 1 at the other's
//                       total       how many there are
//
// One thread a pixel, THREADS to a block.

#define THREADS 256
#define NOTHING 0
#define INSTRUMENT 255
#define KEEP_OFF 0.02f
#define MOST_CHANNELS 64

struct CrossingParams {
    unsigned width, height;
    float instrument_threshold, tissue_threshold;
    unsigned channels;
    unsigned char classes[MOST_CHANNELS];
};

struct Region {
    unsigned label, area;
    unsigned box[4];
};

// Is there a border on side 0 right, 1 below, 2 left, 3 above? *other: the pixel beyond it.
__device__ bool has_border(const CrossingParams *p, const unsigned short *map, unsigned at, unsigned side, unsigned *other)
{
    unsigned x = at % p->width, y = at / p->width;
    bool is_inside = side == 0 ? x + 1 < p->width : side == 1 ? y + 1 < p->height : side == 2 ? x > 0 : y > 0;
    if (!is_inside)
        return false;
    *other = side == 0 ? at + 1 : side == 1 ? at + p->width : side == 2 ? at - 1 : at - p->width;
    return map[at] != map[*other];
}

__device__ unsigned count_of(const CrossingParams *p, const unsigned short *map, const Region *list, unsigned at)
{
    if (at >= p->width * p->height || list[map[at]].label == NOTHING)
        return 0;
    unsigned count = 0, other;
    for (unsigned side = 0; side < 4; side++)
        count += has_border(p, map, at, side, &other) ? 1 : 0;
    return count;
}

// How far inside the region of a channel a pixel lies: 0 on its edge.
__device__ float tissue_margin(const CrossingParams *p, const float *tissue, unsigned channel, unsigned at)
{
    unsigned pixels = p->width * p->height;
    float rival = p->tissue_threshold;
    for (unsigned other = 0; other < p->channels; other++)
        if (other != channel)
            rival = fmaxf(rival, tissue[other * pixels + at]);
    return tissue[channel * pixels + at] - rival;
}

__device__ float crossing(const CrossingParams *p, unsigned inner, unsigned outer, const float *tissue, const float *instrument, unsigned here,
                          unsigned there)
{
    float inside, outside;
    if (inner == INSTRUMENT || outer == INSTRUMENT) {
        // One curve for the instrument and for the tissue that ends at it.
        inside = instrument[here] - p->instrument_threshold;
        outside = instrument[there] - p->instrument_threshold;
    } else {
        unsigned channel = 0;
        while (channel < p->channels && p->classes[channel] != inner)
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

extern "C" __global__ void crossings_count(const __grid_constant__ CrossingParams p, const unsigned short *map, const Region *list, unsigned *counts)
{
    __shared__ unsigned room[SUM_ROOM(THREADS)];
    unsigned whole;
    sum_before<THREADS>(count_of(&p, map, list, blockIdx.x * THREADS + threadIdx.x), room, &whole);
    if (threadIdx.x == 0)
        counts[blockIdx.x] = whole;
}

extern "C" __global__ void crossings_list(const __grid_constant__ CrossingParams p, const unsigned short *map, const Region *list,
                                          const unsigned *counts, const float *tissue, const float *instrument, float *crossings,
                                          unsigned *total)
{
    __shared__ unsigned room[SUM_ROOM(THREADS)];
    unsigned share = 0, before, whole;
    for (unsigned block = threadIdx.x; block < blockIdx.x; block += THREADS)
        share += counts[block];
    sum_before<THREADS>(share, room, &before);
    unsigned at = blockIdx.x * THREADS + threadIdx.x;
    unsigned own = count_of(&p, map, list, at);
    unsigned place = before + sum_before<THREADS>(own, room, &whole);
    for (unsigned side = 0; side < 4 && own > 0; side++) {
        unsigned other;
        if (has_border(&p, map, at, side, &other))
            crossings[place++] = crossing(&p, list[map[at]].label, list[map[other]].label, tissue, instrument, at, other);
    }
    if (threadIdx.x == 0 && blockIdx.x + 1 == gridDim.x)
        *total = before + whole;
}
