// How the picture moves from one frame to the next: the camera, and a patch behind each instrument's tip. The same operations in the
// same order as src/track/shrunk.rs, camera.rs and flow.rs, where the constants are explained; the two agree to the last bit. Sums are
// taken in lanes, a thread each (src/track/lanes.rs).
//
// motion_half     in   input    3·height·width numbers as the network is shown them, floats or halves
//                 out  half     grey of each block of 2 × 2, 0..255
// motion_quarter  in   half
//                      before       quarter of the frame before; what is made of it is of no use where there was none
//                      mask         class ids, mask_width·mask_height; none: nothing is an instrument
//                 out  quarter      of each block of 4 × 4
//                      background   a byte for each of these: bit 0 it is background, where the mask says what is an instrument; bit 1 it
//                                   would be where nothing is
// motion_camera   in   now, before  quarters of two frames
//                      background
//                 out  shifts       of the background: of bit 0 and of bit 1. A block for each
// motion_flow     in   now, before  halves of two frames
//                      mask, patches
//                 out  moved        one for each of `patches`. A block for each
//
// Blocks of THREADS.

#define THREADS 256
#define ROUNDS 4
#define SETTLED 0.003f
#define MOST 4.0f
#define SHINY 235.0f
#define EXPLAINED 0.25f
#define CHANGED 0.4f
#define LEAST_SAMPLES 200
#define FLOW_ROUNDS 6
#define FLOW_SAMPLES 24
#define FAR 5.0f

struct MotionParams {
    // Of the input.
    unsigned width, height;
    unsigned is_nchw, is_half;
    // Of the input's channels: makes them a part of the grey; and what all of them lack.
    float gain[3], offset;
    unsigned mask_width, mask_height;
    // Of half the input's pixels: so many a pixel of the captured picture each way, and where it begins in them.
    float scale[2], start[2], picture[2];
    unsigned char is_instrument[256];
};

struct Shift {
    unsigned is_known;
    // In parts of the picture's sides.
    float shift[2];
};

struct Patch {
    // In pixels of `half`; the ends are outside.
    unsigned from[2], end[2];
    // About where it was before: how far it has moved, in those pixels.
    float guess[2];
    unsigned class_id;
};

struct Moved {
    unsigned is_found;
    float shift[2];
    // What says how sure that is: gradients' squares xx, xy, yy; what remains and how much there is to see, levels.
    float gradients[3], error, contrast;
};

__device__ float number_at(const MotionParams *p, const void *input, unsigned channel, unsigned x, unsigned y)
{
    unsigned at = p->is_nchw ? (channel * p->height + y) * p->width + x : (y * p->width + x) * 3 + channel;
    return number_of(input, at, p->is_half);
}

__device__ float column_at(const MotionParams *p, const void *input, unsigned x, unsigned y)
{
    float sum = 0.0f;
    for (unsigned channel = 0; channel < 3; channel++)
        sum += p->gain[channel] * (number_at(p, input, channel, x, y) + number_at(p, input, channel, x, y + 1));
    return sum;
}

extern "C" __global__ void motion_half(const __grid_constant__ MotionParams p, const void *input, float *half)
{
    unsigned width = p.width / 2, at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= width * (p.height / 2))
        return;
    unsigned x = at % width * 2, y = at / width * 2;
    half[at] = column_at(&p, input, x, y) + column_at(&p, input, x + 1, y) + p.offset;
}

// Is there an instrument at this inner place of the quarter, or beside it?
__device__ bool is_by_instrument(const MotionParams *p, const unsigned char *mask, unsigned x, unsigned y)
{
    unsigned width = p->width / 4, height = p->height / 4, columns[5];
    for (unsigned k = 0; k < 5; k++)
        columns[k] = (2 * (x + k - 2) + 1) * p->mask_width / (2 * width);
    unsigned found = 0;
#pragma unroll
    for (unsigned row = 0; row < 5; row++) {
        unsigned line = (2 * (y + row - 2) + 1) * p->mask_height / (2 * height);
#pragma unroll
        for (unsigned k = 0; k < 5; k++)
            found |= p->is_instrument[mask[line * p->mask_width + columns[k]]];
    }
    return found != 0;
}

extern "C" __global__ void motion_quarter(const __grid_constant__ MotionParams p, const float *half, const float *before, const unsigned char *mask,
                                          float *quarter, unsigned char *background)
{
    unsigned width = p.width / 4, height = p.height / 4, at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= width * height)
        return;
    unsigned x = at % width, y = at / width;
    const float *upper = half + y * 2 * (p.width / 2) + x * 2, *lower = upper + p.width / 2;
    float now = 0.25f * (upper[0] + upper[1] + lower[0] + lower[1]);
    quarter[at] = now;
    // Neither an instrument nor beside one, and no reflection.
    unsigned kinds = now > SHINY || before[at] > SHINY ? 0 : 3;
    bool is_inner = x >= 2 && y >= 2 && x + 2 < width && y + 2 < height;
    if (kinds != 0 && mask && is_inner && is_by_instrument(&p, mask, x, y))
        kinds = 2;
    background[at] = (unsigned char)kinds;
}

// The C library's, which is taken in doubles.
__device__ float length_of(float x, float y)
{
    return (float)sqrt((double)x * (double)x + (double)y * (double)y);
}

// Of all lanes: for the first thread.
__device__ void add_lanes(const float *own, unsigned own_count, unsigned sums, float (*room)[THREADS], unsigned *counts)
{
    for (unsigned k = 0; k < sums; k++)
        room[k][threadIdx.x] = own[k];
    counts[threadIdx.x] = own_count;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            for (unsigned k = 0; k < sums; k++)
                room[k][threadIdx.x] += room[k][threadIdx.x + half];
            counts[threadIdx.x] += counts[threadIdx.x + half];
        }
    }
}

// Between the samples of the present frame; false: outside. Fetches them in any case: nothing waits for whether they count.
__device__ bool between(const float *now, unsigned width, unsigned height, float x, float y, float *value)
{
    bool is_inside = x >= 0.0f && y >= 0.0f && x < (float)(width - 1) && y < (float)(height - 1);
    unsigned ix = is_inside ? (unsigned)x : 0, iy = is_inside ? (unsigned)y : 0;
    float fx = x - (float)ix, fy = y - (float)iy;
    const float *upper = now + iy * width + ix, *lower = upper + width;
    float top = upper[0] + (upper[1] - upper[0]) * fx, bottom = lower[0] + (lower[1] - lower[0]) * fx;
    *value = top + (bottom - top) * fy;
    return is_inside;
}

// What is known after a round.
struct Solved {
    float shift[2], first;
    unsigned is_settled, is_done;
    Shift result;
};

__device__ void solve(float (*room)[THREADS], unsigned count, unsigned round, unsigned width, unsigned height, Solved *s)
{
    s->is_done = 1;
    s->result.is_known = 0;
    s->result.shift[0] = s->result.shift[1] = 0.0f;
    if (count < LEAST_SAMPLES)
        return;
    float sums[6];
    for (unsigned k = 0; k < 6; k++)
        sums[k] = room[k][0];
    float last = sums[5] / (float)count;
    if (round == 0) {
        s->first = last;
        if (sqrtf(last) < CHANGED) {
            s->result.is_known = 1;
            return;
        }
    }
    if (round == ROUNDS || s->is_settled) {
        s->result.is_known = last <= (1.0f - EXPLAINED) * s->first;
        s->result.shift[0] = s->shift[0] / (float)width;
        s->result.shift[1] = s->shift[1] / (float)height;
        return;
    }
    float both = sums[0] + sums[2], determinant = sums[0] * sums[2] - sums[1] * sums[1];
    if (determinant < 1e-3f * (both * both) || both < (float)count)
        return;
    float step[2] = {(sums[2] * sums[3] - sums[1] * sums[4]) / determinant, (sums[0] * sums[4] - sums[1] * sums[3]) / determinant};
    s->shift[0] -= step[0];
    s->shift[1] -= step[1];
    s->is_settled = length_of(step[0], step[1]) < SETTLED;
    float way = length_of(s->shift[0], s->shift[1]);
    s->is_done = !(way <= MOST);
}

extern "C" __global__ void motion_camera(const __grid_constant__ MotionParams p, const float *now, const float *before,
                                         const unsigned char *background, Shift *shifts)
{
    __shared__ float room[6][THREADS];
    __shared__ unsigned counts[THREADS];
    __shared__ Solved solved;
    unsigned width = p.width / 4, height = p.height / 4, inner = width - 4, cells = inner * (height - 4);
    if (threadIdx.x == 0) {
        Solved nothing = {};
        solved = nothing;
    }
    __syncthreads();
    for (unsigned round = 0; round <= ROUNDS; round++) {
        float sums[6] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, shift[2] = {solved.shift[0], solved.shift[1]};
        unsigned count = 0;
#pragma unroll 4
        for (unsigned cell = threadIdx.x; cell < cells; cell += THREADS) {
            unsigned x = cell % inner + 2, y = cell / inner + 2, at = y * width + x;
            float gx = 0.5f * (before[at + 1] - before[at - 1]), gy = 0.5f * (before[at + width] - before[at - width]), value;
            bool is_inside = between(now, width, height, (float)x + shift[0], (float)y + shift[1], &value);
            float off = value - before[at];
            if (!is_inside || !(background[at] >> blockIdx.x & 1))
                continue;
            sums[0] += gx * gx;
            sums[1] += gx * gy;
            sums[2] += gy * gy;
            sums[3] += gx * off;
            sums[4] += gy * off;
            sums[5] += off * off;
            count++;
        }
        add_lanes(sums, count, 6, room, counts);
        if (threadIdx.x == 0)
            solve(room, counts[0], round, width, height, &solved);
        __syncthreads();
        if (solved.is_done)
            break;
    }
    if (threadIdx.x == 0)
        shifts[blockIdx.x] = solved.result;
}

// Below 0 it is 0.
__device__ unsigned whole_of(float value)
{
    return value > 0.0f ? (unsigned)value : 0;
}

// Does the mask give the sample to the class?
__device__ bool is_own(const MotionParams *p, const unsigned char *mask, unsigned class_id, unsigned x, unsigned y)
{
    float across = ((float)x + 0.5f - p->start[0]) / p->scale[0] / p->picture[0];
    float down = ((float)y + 0.5f - p->start[1]) / p->scale[1] / p->picture[1];
    unsigned column = whole_of(across * (float)p->mask_width), row = whole_of(down * (float)p->mask_height);
    return column < p->mask_width && row < p->mask_height && mask[row * p->mask_width + column] == class_id;
}

// Value and gradient of the frame before between its samples; false: outside.
__device__ bool sample(const float *before, unsigned width, unsigned height, float x, float y, float *value, float *gx, float *gy)
{
    bool is_inside = x >= 1.0f && y >= 1.0f && x < (float)(width - 2) && y < (float)(height - 2);
    if (!is_inside)
        return false;
    unsigned ix = (unsigned)x, iy = (unsigned)y;
    float fx = x - (float)ix, fy = y - (float)iy;
    const float *at = before + iy * width + ix;
    float a = at[0], b = at[1], c = at[width], d = at[width + 1];
    float top = a + (b - a) * fx, bottom = c + (d - c) * fx;
    *gx = (b - a) * (1.0f - fy) + (d - c) * fy;
    *gy = bottom - top;
    *value = top + (bottom - top) * fy;
    return true;
}

// After a round. False: nothing is found.
__device__ bool flow_step(float (*room)[THREADS], unsigned count, const Patch *patch, Moved *m)
{
    if (count < FLOW_SAMPLES)
        return false;
    float sums[8];
    for (unsigned k = 0; k < 8; k++)
        sums[k] = room[k][0];
    float mean = sums[6] / (float)count;
    m->contrast = sqrtf(fmaxf(sums[7] / (float)count - mean * mean, 0.0f));
    m->error = sqrtf(sums[5] / (float)count);
    for (int i = 0; i < 3; i++)
        m->gradients[i] = sums[i];
    float stiff = 0.02f * (sums[0] + sums[2]) + 1.0f;
    float determinant = (sums[0] + stiff) * (sums[2] + stiff) - sums[1] * sums[1];
    m->shift[0] -= ((sums[2] + stiff) * sums[3] - sums[1] * sums[4]) / determinant;
    m->shift[1] -= ((sums[0] + stiff) * sums[4] - sums[1] * sums[3]) / determinant;
    return length_of(m->shift[0] - patch->guess[0], m->shift[1] - patch->guess[1]) <= FAR;
}

extern "C" __global__ void motion_flow(const __grid_constant__ MotionParams p, const float *now, const float *before, const unsigned char *mask,
                                       const Patch *patches, Moved *moved)
{
    __shared__ float room[8][THREADS];
    __shared__ unsigned counts[THREADS];
    __shared__ Moved found;
    const Patch patch = patches[blockIdx.x];
    unsigned width = p.width / 2, height = p.height / 2;
    unsigned columns = patch.end[0] > patch.from[0] ? patch.end[0] - patch.from[0] : 0;
    unsigned rows = patch.end[1] > patch.from[1] ? patch.end[1] - patch.from[1] : 0;
    if (threadIdx.x == 0) {
        Moved start = {};
        found = start;
        found.is_found = 1;
        found.shift[0] = patch.guess[0];
        found.shift[1] = patch.guess[1];
    }
    for (unsigned round = 0; round < FLOW_ROUNDS; round++) {
        __syncthreads();
        if (!found.is_found)
            break;
        float sums[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, shift[2] = {found.shift[0], found.shift[1]};
        unsigned count = 0;
        for (unsigned cell = threadIdx.x; cell < columns * rows; cell += THREADS) {
            float value, gx, gy;
            unsigned x = patch.from[0] + cell % columns, y = patch.from[1] + cell / columns;
            if (!is_own(&p, mask, patch.class_id, x, y)
                || !sample(before, width, height, (float)x - shift[0], (float)y - shift[1], &value, &gx, &gy))
                continue;
            float here = now[y * width + x], off = here - value, far = off / 12.0f;
            // Far outliers are shine and what lies under the edge.
            float weight = 1.0f / (1.0f + far * far);
            sums[0] += weight * gx * gx;
            sums[1] += weight * gx * gy;
            sums[2] += weight * gy * gy;
            sums[3] += weight * gx * off;
            sums[4] += weight * gy * off;
            sums[5] += weight * off * off;
            sums[6] += here;
            sums[7] += here * here;
            count++;
        }
        add_lanes(sums, count, 8, room, counts);
        if (threadIdx.x == 0)
            found.is_found = flow_step(room, counts[0], &patch, &found) ? 1 : 0;
    }
    if (threadIdx.x == 0)
        moved[blockIdx.x] = found;
}
