// How the picture moves from one frame to the next: the camera, and a patch behind each instrument's tip. The same operations in the
// same order as src/track/shrunk.rs, camera.rs and flow.rs, where the constants are explained; the two agree to the last bit. What a
// sum is made of is worked out by all threads of a block; one adds it up, in the order of the reference.
//
// motion_half     in   input    3·height·width numbers as the network is shown them, floats or halves
//                 out  half     grey of each block of 2 × 2, 0..255
// motion_quarter  in   half
//                 out  quarter  of each block of 4 × 4
// motion_camera   in   now, before  quarters of two frames
//                      mask         class ids, mask_width·mask_height; none: nothing is an instrument
//                 out  shifts       of the background: where the mask says what is an instrument; where nothing is. A block for each
// motion_flow     in   now, before  halves of two frames
//                      mask, patches
//                 out  moved        one for each of `patches`. A block for each
//
// Blocks of THREADS.

#define THREADS 128
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

extern "C" __global__ void motion_quarter(const __grid_constant__ MotionParams p, const float *half, float *quarter)
{
    unsigned width = p.width / 4, at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= width * (p.height / 4))
        return;
    const float *upper = half + at / width * 2 * (p.width / 2) + at % width * 2, *lower = upper + p.width / 2;
    quarter[at] = 0.25f * (upper[0] + upper[1] + lower[0] + lower[1]);
}

// The C library's, which is taken in doubles.
__device__ float length_of(float x, float y)
{
    return (float)sqrt((double)x * (double)x + (double)y * (double)y);
}

// The block's threads put up `count` numbers each; thread k adds the k-th of all to its own sum, one thread's after the other's.
// What does not count is 0: it changes no sum.
__device__ void add_in_order(float *sum, const float *own, unsigned count, float (*room)[THREADS + 1])
{
    __syncthreads();
    for (unsigned k = 0; k < count; k++)
        room[k][threadIdx.x] = own[k];
    __syncthreads();
    if (threadIdx.x < count)
        for (unsigned i = 0; i < THREADS; i++)
            *sum += room[threadIdx.x][i];
}

// Neither an instrument nor beside one, and no reflection.
__device__ bool is_background(const MotionParams *p, const float *now, const float *before, const unsigned char *mask, unsigned x, unsigned y)
{
    unsigned width = p->width / 4, height = p->height / 4, at = y * width + x;
    if (now[at] > SHINY || before[at] > SHINY)
        return false;
    for (unsigned row = y - 2; row < y + 3 && mask; row++)
        for (unsigned column = x - 2; column < x + 3; column++) {
            unsigned line = (2 * row + 1) * p->mask_height / (2 * height);
            if (p->is_instrument[mask[line * p->mask_width + (2 * column + 1) * p->mask_width / (2 * width)]])
                return false;
        }
    return true;
}

// Between the samples of the present frame; false: outside.
__device__ bool between(const float *now, unsigned width, unsigned height, float x, float y, float *value)
{
    if (x < 0.0f || y < 0.0f || x >= (float)(width - 1) || y >= (float)(height - 1))
        return false;
    unsigned ix = (unsigned)x, iy = (unsigned)y;
    float fx = x - (float)ix, fy = y - (float)iy;
    const float *upper = now + iy * width + ix, *lower = upper + width;
    float top = upper[0] + (upper[1] - upper[0]) * fx, bottom = lower[0] + (lower[1] - lower[0]) * fx;
    *value = top + (bottom - top) * fy;
    return true;
}

// What is known after a round.
struct Solved {
    float shift[2], first;
    unsigned is_settled, is_done;
    Shift result;
};

__device__ void solve(const float *sums, unsigned count, unsigned round, unsigned width, unsigned height, Solved *s)
{
    s->is_done = 1;
    s->result.is_known = 0;
    s->result.shift[0] = s->result.shift[1] = 0.0f;
    if (count < LEAST_SAMPLES)
        return;
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

extern "C" __global__ void motion_camera(const __grid_constant__ MotionParams p, const float *now, const float *before, const unsigned char *mask,
                                         Shift *shifts)
{
    __shared__ float room[6][THREADS + 1];
    __shared__ float sums[6];
    __shared__ unsigned count;
    __shared__ Solved solved;
    unsigned width = p.width / 4, height = p.height / 4, inner = width - 4, cells = inner * (height - 4);
    if (threadIdx.x == 0) {
        Solved nothing = {};
        solved = nothing;
    }
    for (unsigned round = 0; round <= ROUNDS; round++) {
        if (threadIdx.x == 0)
            count = 0;
        __syncthreads();
        float sum = 0.0f;
        for (unsigned from = 0; from < cells; from += THREADS) {
            unsigned cell = from + threadIdx.x, x = cell % inner + 2, y = cell / inner + 2, at = y * width + x;
            float own[6] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, value;
            if (cell < cells && is_background(&p, now, before, blockIdx.x == 0 ? mask : nullptr, x, y)
                && between(now, width, height, (float)x + solved.shift[0], (float)y + solved.shift[1], &value)) {
                float gx = 0.5f * (before[at + 1] - before[at - 1]), gy = 0.5f * (before[at + width] - before[at - width]);
                float off = value - before[at];
                own[0] = gx * gx;
                own[1] = gx * gy;
                own[2] = gy * gy;
                own[3] = gx * off;
                own[4] = gy * off;
                own[5] = off * off;
                atomicAdd(&count, 1);
            }
            add_in_order(&sum, own, 6, room);
        }
        if (threadIdx.x < 6)
            sums[threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.x == 0)
            solve(sums, count, round, width, height, &solved);
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
__device__ bool flow_step(const float *sums, unsigned count, const Patch *patch, Moved *m)
{
    if (count < FLOW_SAMPLES)
        return false;
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
    __shared__ float room[8][THREADS + 1];
    __shared__ float sums[8];
    __shared__ unsigned count;
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
        if (threadIdx.x == 0)
            count = 0;
        __syncthreads();
        if (!found.is_found)
            break;
        float sum = 0.0f;
        for (unsigned from = 0; from < columns * rows; from += THREADS) {
            unsigned cell = from + threadIdx.x;
            float own[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, value, gx, gy;
            unsigned x = patch.from[0] + cell % columns, y = patch.from[1] + cell / columns;
            if (cell < columns * rows && is_own(&p, mask, patch.class_id, x, y)
                && sample(before, width, height, (float)x - found.shift[0], (float)y - found.shift[1], &value, &gx, &gy)) {
                float here = now[y * width + x], off = here - value, far = off / 12.0f;
                // Far outliers are shine and what lies under the edge.
                float weight = 1.0f / (1.0f + far * far);
                own[0] = weight * gx * gx;
                own[1] = weight * gx * gy;
                own[2] = weight * gy * gy;
                own[3] = weight * gx * off;
                own[4] = weight * gy * off;
                own[5] = weight * off * off;
                own[6] = here;
                own[7] = here * here;
                atomicAdd(&count, 1);
            }
            add_in_order(&sum, own, 8, room);
        }
        if (threadIdx.x < 8)
            sums[threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.x == 0)
            found.is_found = flow_step(sums, count, &patch, &found) ? 1 : 0;
        __syncthreads();
    }
    if (threadIdx.x == 0)
        moved[blockIdx.x] = found;
}
