// What is said of regions as wholes, by the probabilities of their pixels. Tissues: the reference's whole numbers (`in_parts` in
// src/track/measured.rs). Instruments: sums are taken in doubles, in another order than in src/track/decode.rs and src/track/shape.rs: they
// differ in the last bits of a double, what is made of them as floats hardly ever.
//
// tissue_sums      in   map         width·height region numbers (track::Regions)
//                       list        of each region its label: 0 nothing, 255 instrument, else a tissue's class id
//                       tissue      a plane of probabilities a channel
//                  out  sums        PIECES numbers a channel: together its probabilities over its class' regions
//                  PIECES blocks of THREADS a channel.
// instrument_sums  in   map, list, count (of regions), instrument: one plane of probabilities
//                  out  instruments the largest regions of instrument, the largest first, of equals the first
//                  One block of INSTRUMENT_THREADS an instrument.

#define THREADS 512
#define PIECES 8
#define INSTRUMENT_THREADS 1024
#define TILE 32
#define AHEAD 4
// Of an instrument: probability, weight, x, y, xx, xy, yy.
#define SUMS 7
#define NOTHING 0
#define INSTRUMENT 255
#define MOST_CHANNELS 64
#define NO_REGION 0xffffffffu

typedef unsigned long long u64;

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

// So many 2⁻²³ parts of one.
__device__ unsigned in_parts(float probability)
{
    return __float_as_uint(probability + 1.0f) - __float_as_uint(1.0f);
}

extern "C" __launch_bounds__(THREADS) __global__ void tissue_sums(const __grid_constant__ RegionSumParams p, const unsigned short *map,
                                                                  const Region *list, const float *tissue, u64 *sums)
{
    __shared__ u64 room[THREADS];
    unsigned channel = blockIdx.x / PIECES, piece = blockIdx.x % PIECES, pixels = p.width * p.height, label = p.classes[channel];
    const float *plane = tissue + channel * pixels;
    u64 own = 0;
#pragma unroll 4
    for (unsigned at = piece * THREADS + threadIdx.x; at < pixels; at += PIECES * THREADS) {
        unsigned parts = in_parts(plane[at]);
        own += label != NOTHING && list[map[at]].label == label ? parts : 0;
    }
    room[threadIdx.x] = own;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            room[threadIdx.x] += room[threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        sums[blockIdx.x] = room[0];
}

// The larger, the larger its area; of equals the first.
__device__ u64 rank_of(const Region *list, unsigned region)
{
    return (u64)list[region].area << 32 | (0xffffffffu - region);
}

// The region of instrument with so many larger ones, into *found by one thread.
__device__ void find_of_rank(const Region *list, unsigned count, unsigned rank, unsigned *found)
{
    for (unsigned region = threadIdx.x; region < count; region += INSTRUMENT_THREADS) {
        if (list[region].label != INSTRUMENT)
            continue;
        unsigned larger = 0;
#pragma unroll 4
        for (unsigned other = 0; other < count; other++)
            larger += list[other].label == INSTRUMENT && rank_of(list, other) > rank_of(list, region) ? 1 : 0;
        if (larger == rank)
            *found = region;
    }
}

// Where a pixel's centre lies in the picture on one axis.
__device__ double in_picture(const RegionSumParams *p, unsigned axis, unsigned place)
{
    float moved = ((float)place + 0.5f + p->shift[axis]) * p->scale[axis];
    return (double)fminf(fmaxf(moved, 0.0f), p->picture[axis]);
}

extern "C" __launch_bounds__(INSTRUMENT_THREADS) __global__ void instrument_sums(const __grid_constant__ RegionSumParams p, const unsigned short *map,
                                                                                 const Region *list, const unsigned *count, const float *instrument,
                                                                                 InstrumentSums *instruments)
{
    __shared__ double room[SUMS][INSTRUMENT_THREADS / 2];
    __shared__ unsigned found;
    if (threadIdx.x == 0)
        found = NO_REGION;
    __syncthreads();
    find_of_rank(list, *count, blockIdx.x, &found);
    __syncthreads();
    InstrumentSums sums = {};
    sums.region = found;
    if (sums.region == NO_REGION) {
        if (threadIdx.x == 0)
            instruments[blockIdx.x] = sums;
        return;
    }
    const Region region = list[sums.region];
    const unsigned *box = region.box;
    sums.area = region.area;
    // Around the middle of its box: near the mean, so that little is lost when that is known.
    double middle[2], own_sums[SUMS] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    for (int axis = 0; axis < 2; axis++)
        middle[axis] = in_picture(&p, axis, (box[axis] + box[axis + 2]) / 2);
    for (unsigned y = box[1] + threadIdx.x / TILE; y < box[3]; y += INSTRUMENT_THREADS / TILE) {
        double dy = in_picture(&p, 1, y) - middle[1];
        const unsigned short *numbers = map + y * p.width;
        const float *probabilities = instrument + y * p.width;
        for (unsigned left = box[0] + threadIdx.x % TILE; left < box[2]; left += AHEAD * TILE) {
            // Fetched together: nothing waits for one after the other.
            bool is_own[AHEAD];
            float own[AHEAD];
#pragma unroll
            for (unsigned k = 0; k < AHEAD; k++)
                is_own[k] = left + k * TILE < box[2] && numbers[left + k * TILE] == sums.region;
#pragma unroll
            for (unsigned k = 0; k < AHEAD; k++)
                own[k] = is_own[k] ? probabilities[left + k * TILE] : 0.0f;
#pragma unroll
            for (unsigned k = 0; k < AHEAD; k++) {
                if (!is_own[k])
                    continue;
                double weight = fmax((double)own[k], 1e-3), dx = in_picture(&p, 0, left + k * TILE) - middle[0];
                own_sums[0] += (double)own[k];
                own_sums[1] += weight;
                own_sums[2] += weight * dx;
                own_sums[3] += weight * dy;
                own_sums[4] += weight * dx * dx;
                own_sums[5] += weight * dx * dy;
                own_sums[6] += weight * dy * dy;
            }
        }
    }
    // One half of the threads hands its sums to the other, and so on.
    for (unsigned half = INSTRUMENT_THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x >= half && threadIdx.x < 2 * half)
            for (unsigned k = 0; k < SUMS; k++)
                room[k][threadIdx.x - half] = own_sums[k];
        __syncthreads();
        if (threadIdx.x < half)
            for (unsigned k = 0; k < SUMS; k++)
                own_sums[k] += room[k][threadIdx.x];
        __syncthreads();
    }
    if (threadIdx.x != 0)
        return;
    sums.probability = own_sums[0];
    sums.weight = own_sums[1];
    double x = own_sums[2] / sums.weight, y = own_sums[3] / sums.weight;
    sums.mean[0] = middle[0] + x;
    sums.mean[1] = middle[1] + y;
    sums.spread[0] = own_sums[4] - own_sums[2] * x;
    sums.spread[1] = own_sums[5] - own_sums[2] * y;
    sums.spread[2] = own_sums[6] - own_sums[3] * y;
    instruments[blockIdx.x] = sums;
}
