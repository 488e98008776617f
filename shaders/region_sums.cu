// What is said of regions as wholes, by the probabilities of their pixels. Sums are taken in doubles, in another order than in
// src/track/decode.rs and src/track/shape.rs: they differ in the last bits of a double, what is made of them as floats hardly ever.
//
// tissue_sums      in   labels      width·height bytes, as the regions were found in them
//                       map         region numbers (track::Regions)
//                       list        of each region its label: 0 nothing, 255 instrument, else a tissue's class id
//                       tissue      a plane of probabilities a channel
//                  out  sums        a number a channel: its probabilities over its class' regions
//                  One block of THREADS a channel.
// instrument_sums  in   map, list, count (of regions), instrument: one plane of probabilities
//                  out  instruments the largest regions of instrument, the largest first, of equals the first
//                  One block of THREADS an instrument.

#define THREADS 128
#define NOTHING 0
#define INSTRUMENT 255
#define MOST_CHANNELS 64
#define NO_REGION 0xffffffffu

struct RegionSumParams {
    // Of the map.
    unsigned width, height;
    // From map pixels to the captured picture: (point + shift)·scale, held inside it.
    float scale[2], shift[2], picture[2];
    unsigned char classes[MOST_CHANNELS];
};

struct Region {
    unsigned label, area;
    // Half-open, in map pixels.
    unsigned box[4];
};

struct InstrumentSums {
    // NO_REGION: there are fewer.
    unsigned region, area;
    // Sum over the pixels; then of places in the captured picture that weigh as much as they are probable, a thousandth at least: sum of
    // the weights, mean, and xx, xy, yy around it.
    double probability, weight, mean[2], spread[3];
};

// Over all threads of the block; every thread gets it.
__device__ double sum_over_block(double value, double *room)
{
    __syncthreads();
    room[threadIdx.x] = value;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            room[threadIdx.x] += room[threadIdx.x + half];
    }
    __syncthreads();
    return room[0];
}

extern "C" __global__ void tissue_sums(const __grid_constant__ RegionSumParams p, const unsigned char *labels, const unsigned short *map,
                                       const Region *list, const float *tissue, double *sums)
{
    __shared__ double room[THREADS];
    unsigned char label = p.classes[blockIdx.x];
    const float *plane = tissue + blockIdx.x * p.width * p.height;
    double own = 0.0;
    for (unsigned y = threadIdx.x; y < p.height && label != NOTHING; y += THREADS) {
        // Each stretch of one label is added up by itself.
        float stretch = 0.0f;
        bool is_own = false;
        for (unsigned x = 0; x < p.width; x++) {
            unsigned at = y * p.width + x;
            if (x == 0 || labels[at] != labels[at - 1]) {
                own += (double)stretch;
                stretch = 0.0f;
                is_own = list[map[at]].label == label;
            }
            if (is_own)
                stretch += plane[at];
        }
        own += (double)stretch;
    }
    own = sum_over_block(own, room);
    if (threadIdx.x == 0)
        sums[blockIdx.x] = own;
}

// The region of instrument with so many larger ones.
__device__ unsigned region_of_rank(const Region *list, unsigned count, unsigned rank, unsigned long long *room)
{
    unsigned long long last = ~0ull;
    for (unsigned i = 0; i <= rank && last != 0; i++) {
        unsigned long long best = 0;
        for (unsigned region = threadIdx.x; region < count; region += THREADS) {
            unsigned long long key = (unsigned long long)list[region].area << 32 | (0xffffffffu - region);
            if (list[region].label == INSTRUMENT && key < last && key > best)
                best = key;
        }
        __syncthreads();
        room[threadIdx.x] = best;
        for (unsigned half = THREADS / 2; half > 0; half /= 2) {
            __syncthreads();
            if (threadIdx.x < half)
                room[threadIdx.x] = max(room[threadIdx.x], room[threadIdx.x + half]);
        }
        __syncthreads();
        last = room[0];
    }
    return last == 0 ? NO_REGION : 0xffffffffu - (unsigned)last;
}

// Where pixel `i` of the region's box lies in the map and in the picture; false: it is not the region's.
__device__ bool pixel_of(const RegionSumParams *p, const unsigned short *map, const Region *region, unsigned number, unsigned i, unsigned *at,
                         double *point)
{
    unsigned box_width = region->box[2] - region->box[0];
    unsigned place[2] = {region->box[0] + i % box_width, region->box[1] + i / box_width};
    *at = place[1] * p->width + place[0];
    if (map[*at] != number)
        return false;
    for (int axis = 0; axis < 2; axis++) {
        float moved = ((float)place[axis] + 0.5f + p->shift[axis]) * p->scale[axis];
        point[axis] = (double)fminf(fmaxf(moved, 0.0f), p->picture[axis]);
    }
    return true;
}

extern "C" __global__ void instrument_sums(const __grid_constant__ RegionSumParams p, const unsigned short *map, const Region *list,
                                           const unsigned *count, const float *instrument, InstrumentSums *instruments)
{
    __shared__ double room[THREADS];
    __shared__ unsigned long long ranks[THREADS];
    InstrumentSums sums = {};
    sums.region = region_of_rank(list, *count, blockIdx.x, ranks);
    if (sums.region == NO_REGION) {
        if (threadIdx.x == 0)
            instruments[blockIdx.x] = sums;
        return;
    }
    const Region region = list[sums.region];
    sums.area = region.area;
    unsigned pixels = (region.box[2] - region.box[0]) * (region.box[3] - region.box[1]), at;
    double point[2];
    for (unsigned i = threadIdx.x; i < pixels; i += THREADS)
        if (pixel_of(&p, map, &region, sums.region, i, &at, point)) {
            double own = (double)instrument[at], weight = fmax(own, 1e-3);
            sums.probability += own;
            sums.weight += weight;
            sums.mean[0] += weight * point[0];
            sums.mean[1] += weight * point[1];
        }
    sums.probability = sum_over_block(sums.probability, room);
    sums.weight = sum_over_block(sums.weight, room);
    for (int axis = 0; axis < 2; axis++)
        sums.mean[axis] = sum_over_block(sums.mean[axis], room) / sums.weight;
    for (unsigned i = threadIdx.x; i < pixels; i += THREADS)
        if (pixel_of(&p, map, &region, sums.region, i, &at, point)) {
            double weight = fmax((double)instrument[at], 1e-3);
            double dx = point[0] - sums.mean[0], dy = point[1] - sums.mean[1];
            sums.spread[0] += weight * dx * dx;
            sums.spread[1] += weight * dx * dy;
            sums.spread[2] += weight * dy * dy;
        }
    for (int i = 0; i < 3; i++)
        sums.spread[i] = sum_over_block(sums.spread[i], room);
    if (threadIdx.x == 0)
        instruments[blockIdx.x] = sums;
}
