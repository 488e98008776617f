// One pass: where the picture stands still, so that the network's answers may be averaged over time: decode.cu's `share`. The same
// operations in the same order as src/track/stillness.rs, where the constants are explained; the two agree to the last bit.
//
// stillness_compare  in      input      3·height·width numbers as the network is shown them, floats or halves
//                            reference  3 numbers a block of 8 × 8: what was averaged as the answers were
//                    out     now        3 numbers a block: brightness, red against green, blue against green, 0..255
//                            off        a number a block: how far it is off the reference; 0 where is_first
// stillness_share    in      now, off
//                    in/out  reference
//                    out     share      a number a block: how much of the newest answer counts, 0..1; 1 where is_first
//
// One thread a block of 8 × 8, THREADS together.

#define THREADS 64
#define BLOCK 8
#define COLOUR_WEIGHT (1.0f / 3.0f)
#define STILL_TO 0.8f
#define NEW_FROM 2.4f

struct StillnessParams {
    // Of the input; and in blocks.
    unsigned width, height;
    unsigned blocks_x, blocks_y;
    unsigned is_nchw, is_half;
    // There was no frame before.
    unsigned is_first;
    // Of each channel of the input: what brings it to 0..255.
    float gain[3], offset[3];
    // Share where all stands still.
    float least;
};

__device__ float number_at(const StillnessParams *p, const void *input, unsigned channel, unsigned x, unsigned y)
{
    unsigned at = p->is_nchw ? (channel * p->height + y) * p->width + x : (y * p->width + x) * 3 + channel;
    return number_of(input, at, p->is_half);
}

__device__ float mean_of(const StillnessParams *p, const void *input, unsigned channel, unsigned left, unsigned top)
{
    unsigned right = min(left + BLOCK, p->width), bottom = min(top + BLOCK, p->height);
    float sum = 0.0f;
    for (unsigned x = left; x < right; x++) {
        float column = 0.0f;
        for (unsigned y = top; y < bottom; y++)
            column += number_at(p, input, channel, x, y);
        sum += column;
    }
    float mean = sum / (float)((right - left) * (bottom - top));
    return mean * p->gain[channel] + p->offset[channel];
}

extern "C" __global__ void stillness_compare(const __grid_constant__ StillnessParams p, const void *input, const float *reference, float *now,
                                             float *off)
{
    unsigned block = blockIdx.x * THREADS + threadIdx.x;
    if (block >= p.blocks_x * p.blocks_y)
        return;
    unsigned left = block % p.blocks_x * BLOCK, top = block / p.blocks_x * BLOCK;
    float first = mean_of(&p, input, 0, left, top), green = mean_of(&p, input, 1, left, top), last = mean_of(&p, input, 2, left, top);
    float kinds[3] = {(first + green + last) / 3.0f, (first - green) * COLOUR_WEIGHT, (last - green) * COLOUR_WEIGHT};
    float most = 0.0f;
    for (unsigned kind = 0; kind < 3; kind++) {
        now[3 * block + kind] = kinds[kind];
        if (!p.is_first)
            most = fmaxf(most, fabsf(kinds[kind] - reference[3 * block + kind]));
    }
    off[block] = most;
}

extern "C" __global__ void stillness_share(const __grid_constant__ StillnessParams p, const float *now, const float *off, float *reference,
                                           float *share)
{
    unsigned block = blockIdx.x * THREADS + threadIdx.x;
    if (block >= p.blocks_x * p.blocks_y)
        return;
    unsigned x = block % p.blocks_x, y = block / p.blocks_x;
    // What moves beside it concerns it too.
    float most = 0.0f;
    for (unsigned row = y > 0 ? y - 1 : 0; row < min(y + 2, p.blocks_y); row++)
        for (unsigned column = x > 0 ? x - 1 : 0; column < min(x + 2, p.blocks_x); column++)
            most = fmaxf(most, off[row * p.blocks_x + column]);
    float moved = fminf(fmaxf((most - STILL_TO) / (NEW_FROM - STILL_TO), 0.0f), 1.0f);
    float own = p.is_first ? 1.0f : p.least + (1.0f - p.least) * moved;
    share[block] = own;
    for (unsigned kind = 0; kind < 3; kind++) {
        float *kept = &reference[3 * block + kind];
        *kept = p.is_first ? now[3 * block + kind] : *kept + own * (now[3 * block + kind] - *kept);
    }
}
