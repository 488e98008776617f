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

#define THREADS 128
#define PIECES 32
#define INSTRUMENT_THREADS 1024
#define TILE 32
#define AHEAD 4
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

// Over all threads of the block; every thread gets it.
template <class T> __device__ T sum_over_block(T value, T *room)
{
    __syncthreads();
    room[threadIdx.x] = value;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            room[threadIdx.x] += room[threadIdx.x + half];
    }
    __syncthreads();
    return room[0];
}

// So many 2⁻²³ parts of one.
__device__ unsigned in_parts(float probability)
{
    return __float_as_uint(probability + 1.0f) - __float_as_uint(1.0f);
}

extern "C" __global__ void tissue_sums(const __grid_constant__ RegionSumParams p, const unsigned short *map, const Region *list,
                                       const float *tissue, u64 *sums)
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
    own = sum_over_block(own, room);
    if (threadIdx.x == 0)
        sums[blockIdx.x] = own;
}

// The region of instrument with so many larger ones.
__device__ unsigned region_of_rank(const Region *list, unsigned count, unsigned rank, u64 *room)
{
    u64 last = ~0ull;
    for (unsigned i = 0; i <= rank && last != 0; i++) {
        u64 best = 0;
        for (unsigned region = threadIdx.x; region < count; region += INSTRUMENT_THREADS) {
            u64 key = (u64)list[region].area << 32 | (0xffffffffu - region);
            if (list[region].label == INSTRUMENT && key < last && key > best)
                best = key;
        }
        __syncthreads();
        room[threadIdx.x] = best;
        for (unsigned half = INSTRUMENT_THREADS / 2; half > 0; half /= 2) {
            __syncthreads();
            if (threadIdx.x < half)
                room[threadIdx.x] = max(room[threadIdx.x], room[threadIdx.x + half]);
        }
        __syncthreads();
        last = room[0];
    }
    return last == 0 ? NO_REGION : 0xffffffffu - (unsigned)last;
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
    __shared__ double room[INSTRUMENT_THREADS];
    __shared__ u64 ranks[INSTRUMENT_THREADS];
    InstrumentSums sums = {};
    sums.region = region_of_rank(list, *count, blockIdx.x, ranks);
    if (sums.region == NO_REGION) {
        if (threadIdx.x == 0)
            instruments[blockIdx.x] = sums;
        return;
    }
    const Region region = list[sums.region];
    const unsigned *box = region.box;
    sums.area = region.area;
    // Around the middle of its box: near the mean, so that little is lost when that is known.
    double middle[2], first[2] = {0.0, 0.0}, second[3] = {0.0, 0.0, 0.0};
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
                sums.probability += (double)own[k];
                sums.weight += weight;
                first[0] += weight * dx;
                first[1] += weight * dy;
                second[0] += weight * dx * dx;
                second[1] += weight * dx * dy;
                second[2] += weight * dy * dy;
            }
        }
    }
    sums.probability = sum_over_block(sums.probability, room);
    sums.weight = sum_over_block(sums.weight, room);
    for (int axis = 0; axis < 2; axis++)
        first[axis] = sum_over_block(first[axis], room);
    for (int i = 0; i < 3; i++)
        second[i] = sum_over_block(second[i], room);
    if (threadIdx.x != 0)
        return;
    double x = first[0] / sums.weight, y = first[1] / sums.weight;
    sums.mean[0] = middle[0] + x;
    sums.mean[1] = middle[1] + y;
    sums.spread[0] = second[0] - first[0] * x;
    sums.spread[1] = second[1] - first[0] * y;
    sums.spread[2] = second[2] - first[1] * y;
    instruments[blockIdx.x] = sums;
}
