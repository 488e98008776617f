// One pass: what each instrument looks like: how many of its pixels have each of LEVELS³ colours in the model's input. As `Shown::look`
// in src/track/look.rs sees the class with most of a region's pixels in its box; the counts are the same.
//
// in   instruments  the regions that are looked at (region_sums.cu)
//      map          width·height region numbers (track::Regions); of `list`, each with its box
//      labels       a byte a pixel, as the regions were found in them: 255 instrument
//      mask         a class id a pixel
//      input        3·input_height·input_width numbers as the network is shown them, floats or halves
// out  looks        LEVELS³ counts an instrument
//
// One block of THREADS an instrument.

#define THREADS 1024
#define TILE 32
#define AHEAD 4
#define INSTRUMENT 255
#define NO_REGION 0xffffffffu
#define STEP 3
#define LEVELS 4

struct LookParams {
    // Of the map.
    unsigned width, height;
    // From map pixels to the captured picture: (point + shift)·scale, held inside it.
    float scale[2], shift[2], picture[2];
    // Where in the input the picture lies.
    unsigned fit_x, fit_y, fit_width, fit_height;
    unsigned input_width, input_height;
    unsigned is_nchw, is_half;
    // Of R, G, B: its channel in the input, and what brings that to 0..1.
    unsigned channel[3];
    float mean[3], deviation[3];
};

struct Region {
    unsigned label, area;
    // Half-open, in map pixels.
    unsigned box[4];
};

struct InstrumentSums {
    unsigned region, area;
    double sums[7];
};

__device__ float number_at(const LookParams *p, const void *input, unsigned channel, unsigned x, unsigned y)
{
    unsigned at = p->is_nchw ? (channel * p->input_height + y) * p->input_width + x : (y * p->input_width + x) * 3 + channel;
    return number_of(input, at, p->is_half);
}

// A corner of a region's box: to the captured picture, and from there to the mask, as its box is looked up.
__device__ unsigned mask_place(const LookParams *p, unsigned corner, unsigned axis)
{
    float moved = fminf(fmaxf(((float)corner + p->shift[axis]) * p->scale[axis], 0.0f), p->picture[axis]);
    unsigned side = axis == 0 ? p->width : p->height;
    return min((unsigned)fmaxf(moved / p->picture[axis] * (float)side, 0.0f), side);
}

__device__ unsigned level_of(const LookParams *p, const void *input, unsigned colour, unsigned x, unsigned y)
{
    float value = number_at(p, input, p->channel[colour], x, y) * p->deviation[colour] + p->mean[colour];
    return min((unsigned)(sqrtf(fmaxf(value, 0.0f)) * (float)LEVELS), LEVELS - 1u);
}

extern "C" __launch_bounds__(THREADS) __global__ void instrument_looks(const __grid_constant__ LookParams p, const InstrumentSums *instruments,
                                                                       const unsigned short *map, const Region *list, const unsigned char *labels,
                                                                       const unsigned char *mask, const void *input, unsigned *looks)
{
    __shared__ unsigned votes[256], counts[LEVELS * LEVELS * LEVELS];
    unsigned number = instruments[blockIdx.x].region, *own_looks = looks + blockIdx.x * LEVELS * LEVELS * LEVELS;
    if (number == NO_REGION) {
        if (threadIdx.x < LEVELS * LEVELS * LEVELS)
            own_looks[threadIdx.x] = 0;
        return;
    }
    for (unsigned i = threadIdx.x; i < 256; i += THREADS)
        votes[i] = 0;
    for (unsigned i = threadIdx.x; i < LEVELS * LEVELS * LEVELS; i += THREADS)
        counts[i] = 0;
    __syncthreads();
    const Region region = list[number];
    for (unsigned y = region.box[1] + threadIdx.x / TILE; y < region.box[3]; y += THREADS / TILE) {
        unsigned row = y * p.width;
        for (unsigned left = region.box[0] + threadIdx.x % TILE; left < region.box[2]; left += AHEAD * TILE) {
            // Fetched together: nothing waits for one after the other.
            bool is_own[AHEAD];
            unsigned char ids[AHEAD];
#pragma unroll
            for (unsigned k = 0; k < AHEAD; k++) {
                unsigned at = row + min(left + k * TILE, region.box[2] - 1);
                is_own[k] = left + k * TILE < region.box[2] && map[at] == number && labels[at] == INSTRUMENT;
                ids[k] = mask[at];
            }
#pragma unroll
            for (unsigned k = 0; k < AHEAD; k++)
                if (is_own[k])
                    atomicAdd(&votes[ids[k]], 1);
        }
    }
    __syncthreads();
    // The class with most of its pixels, of which a map has 2²⁰ at most; of equals the last.
    if (threadIdx.x < 256 && votes[threadIdx.x] != 0)
        votes[threadIdx.x] = votes[threadIdx.x] << 8 | threadIdx.x;
    for (unsigned half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            votes[threadIdx.x] = max(votes[threadIdx.x], votes[threadIdx.x + half]);
    }
    __syncthreads();
    unsigned class_id = votes[0] & 255;
    if (votes[0] != 0) {
        unsigned left = mask_place(&p, region.box[0], 0), right = mask_place(&p, region.box[2], 0);
        unsigned top = mask_place(&p, region.box[1], 1), bottom = mask_place(&p, region.box[3], 1);
        unsigned columns = right > left ? (right - left + STEP - 1) / STEP : 0, rows = bottom > top ? (bottom - top + STEP - 1) / STEP : 0;
        for (unsigned i = threadIdx.x; i < columns * rows; i += THREADS) {
            unsigned x = left + i % columns * STEP, y = top + i / columns * STEP;
            if (mask[y * p.width + x] != class_id)
                continue;
            unsigned column = min(p.fit_x + (2 * x + 1) * p.fit_width / (2 * p.width), p.input_width - 1);
            unsigned row = min(p.fit_y + (2 * y + 1) * p.fit_height / (2 * p.height), p.input_height - 1), bin = 0;
            for (unsigned colour = 0; colour < 3; colour++)
                bin = bin * LEVELS + level_of(&p, input, colour, column, row);
            atomicAdd(&counts[bin], 1);
        }
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < LEVELS * LEVELS * LEVELS; i += THREADS)
        own_looks[i] = counts[i];
}
