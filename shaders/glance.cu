// What is told of a frame before anybody has analysed it, from the model's input: does it follow on the last one, and what are the
// signs of a picture that the engine was not made for. The same operations in the same order as `thumb` in src/track/continuity.rs and
// as src/track/signs.rs, where the constants are explained; the two agree to the last bit. Long sums are taken by one thread, in the
// order of the reference.
//
// glance_thumb   in   input    3·height·width numbers as the network is shown them, floats or halves
//                out  thumb    COLUMNS·ROWS numbers: green, 0..1
// glance_shrink  in   input
//                out  half     grey of each block of 2 × 2 of the picture, 0..1
//                     quarter  three planes: R, G, B of each block of 4 × 4
// glance_fine    in   input
//                out  rows     a number a row of the picture: its mean detail
// glance_counts  in   quarter
//                out  figures  the counts are added to it: zeros before
// glance_sums    in   rows, half, quarter
//                out  figures  the rest. One block of THREADS for each of three
// glance_edges   in   half
//                out  vertical, horizontal  edges that have light on both sides; room for MOST_LINES each
//                     found    how many of either there are. One block of THREADS for each
//
// Else one thread for each of what comes out, THREADS to a block.

#define THREADS 128
#define COLUMNS 16
#define ROWS 10
#define TAPS 3
#define DARK 0.06f
#define LIT 0.12f
#define FLAT_STEP 0.012f
#define EDGE_STEP 0.03f
#define EDGE_PART 0.3f
#define EDGE_GAP 3
#define MOST_LINES 256

struct GlanceParams {
    // Of the input.
    unsigned width, height;
    unsigned is_nchw, is_half;
    // Of R, G, B: its channel in the input, and what brings that to 0..1.
    unsigned channel[3];
    float mean[3], deviation[3];
    // Where in the input the picture lies; sides that four divides.
    unsigned fit_x, fit_y, fit_width, fit_height;
};

struct Figures {
    // Blocks of 4 × 4: not dark; lit; and of those: cold, vivid, greenish.
    unsigned seen, lit, cold, vivid, greenish;
    // Of those that are not dark and have both neighbours: as those are; all.
    unsigned flat, all;
    // Mean detail at full size, at a half and at a quarter of it; standard deviation of the brightness.
    float fine, middle, coarse, contrast;
};

struct Line {
    // Between line `at` − 1 and line `at`, from `from` to `to`, both within it.
    unsigned short at, from, to, is_lit;
};

__device__ float number_at(const GlanceParams *p, const void *input, unsigned channel, unsigned x, unsigned y)
{
    unsigned at = p->is_nchw ? (channel * p->height + y) * p->width + x : (y * p->width + x) * 3 + channel;
    return number_of(input, at, p->is_half);
}

// R, G or B of a pixel of the picture.
__device__ float colour_at(const GlanceParams *p, const void *input, unsigned colour, unsigned x, unsigned y)
{
    return number_at(p, input, p->channel[colour], p->fit_x + x, p->fit_y + y) * p->deviation[colour] + p->mean[colour];
}

__device__ float grey_at(const GlanceParams *p, const void *input, unsigned x, unsigned y)
{
    return (colour_at(p, input, 0, x, y) + colour_at(p, input, 1, x, y) + colour_at(p, input, 2, x, y)) / 3.0f;
}

__device__ unsigned tap_place(unsigned cell, unsigned tap, unsigned cells, unsigned side)
{
    return (2 * (cell * TAPS + tap) + 1) * side / (2 * cells * TAPS);
}

extern "C" __global__ void glance_thumb(const __grid_constant__ GlanceParams p, const void *input, float *thumb)
{
    unsigned cell = blockIdx.x * THREADS + threadIdx.x;
    if (cell >= COLUMNS * ROWS)
        return;
    float sum = 0.0f;
    for (unsigned tap = 0; tap < TAPS * TAPS; tap++) {
        unsigned x = tap_place(cell % COLUMNS, tap % TAPS, COLUMNS, p.width), y = tap_place(cell / COLUMNS, tap / TAPS, ROWS, p.height);
        sum += number_at(&p, input, p.channel[1], x, y);
    }
    thumb[cell] = sum / (float)(TAPS * TAPS) * p.deviation[1] + p.mean[1];
}

extern "C" __global__ void glance_shrink(const __grid_constant__ GlanceParams p, const void *input, float *half, float *quarter)
{
    unsigned width = p.fit_width / 4, height = p.fit_height / 4, cell = blockIdx.x * THREADS + threadIdx.x;
    if (cell >= width * height)
        return;
    unsigned left = cell % width * 4, top = cell / width * 4;
    float sums[3] = {0.0f, 0.0f, 0.0f}, greys[2][2] = {{0.0f, 0.0f}, {0.0f, 0.0f}};
    for (unsigned y = 0; y < 4; y++) {
        float row[4];
        for (unsigned x = 0; x < 4; x++)
            row[x] = grey_at(&p, input, left + x, top + y);
        greys[y / 2][0] += (row[0] + row[1]) / 4.0f;
        greys[y / 2][1] += (row[2] + row[3]) / 4.0f;
        for (unsigned colour = 0; colour < 3; colour++) {
            for (unsigned x = 0; x < 4; x++)
                row[x] = colour_at(&p, input, colour, left + x, top + y);
            sums[colour] += (row[0] + row[1] + row[2] + row[3]) / 16.0f;
        }
    }
    for (unsigned colour = 0; colour < 3; colour++)
        quarter[colour * width * height + cell] = sums[colour];
    for (unsigned y = 0; y < 2; y++)
        for (unsigned x = 0; x < 2; x++)
            half[(top / 2 + y) * (p.fit_width / 2) + left / 2 + x] = greys[y][x];
}

// How much a value differs from the line between its neighbours.
__device__ float second_difference(float before, float middle, float after)
{
    return fabsf(after - 2.0f * middle + before);
}

extern "C" __global__ void glance_fine(const __grid_constant__ GlanceParams p, const void *input, float *rows)
{
    unsigned y = blockIdx.x * THREADS + threadIdx.x;
    if (y >= p.fit_height)
        return;
    float before = grey_at(&p, input, 0, y), middle = grey_at(&p, input, 1, y), sum = 0.0f;
    for (unsigned x = 2; x < p.fit_width; x++) {
        float after = grey_at(&p, input, x, y);
        sum += second_difference(before, middle, after);
        before = middle;
        middle = after;
    }
    rows[y] = sum / (float)(p.fit_width - 2);
}

__device__ bool is_near(const float *plane, unsigned at, unsigned other)
{
    return fabsf(plane[at] - plane[other]) < FLAT_STEP;
}

extern "C" __global__ void glance_counts(const __grid_constant__ GlanceParams p, const float *quarter, Figures *figures)
{
    unsigned width = p.fit_width / 4, height = p.fit_height / 4, at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= width * height)
        return;
    const float *red = quarter, *green = red + width * height, *blue = green + width * height;
    float r = red[at], g = green[at], b = blue[at], brightest = fmaxf(fmaxf(r, g), b), cool = fmaxf(g, b);
    if (brightest > DARK)
        atomicAdd(&figures->seen, 1);
    if (brightest > LIT) {
        atomicAdd(&figures->lit, 1);
        atomicAdd(&figures->cold, cool > 1.25f * r + 0.03f ? 1 : 0);
        atomicAdd(&figures->vivid, cool > 1.8f * r + 0.1f ? 1 : 0);
        atomicAdd(&figures->greenish, g > 1.02f * r + 0.008f ? 1 : 0);
    }
    if (brightest > DARK && at % width + 1 < width && at / width + 1 < height) {
        bool is_flat = true;
        for (unsigned colour = 0; colour < 3; colour++) {
            const float *plane = quarter + colour * width * height;
            is_flat = is_flat && is_near(plane, at, at + 1) && is_near(plane, at, at + width);
        }
        atomicAdd(&figures->all, 1);
        atomicAdd(&figures->flat, is_flat ? 1 : 0);
    }
}

// The whole block puts up numbers of its threads, `count` in all, the first thread adds them to `sum` one after the other.
__device__ void add_in_order(float *sum, float own, unsigned count, float *room)
{
    __syncthreads();
    room[threadIdx.x] = own;
    __syncthreads();
    if (threadIdx.x == 0)
        for (unsigned i = 0; i < count; i++)
            *sum += room[i];
}

__device__ float brightness_at(const float *quarter, unsigned cells, unsigned at)
{
    return (quarter[at] + quarter[cells + at] + quarter[2 * cells + at]) / 3.0f;
}

extern "C" __global__ void glance_sums(const __grid_constant__ GlanceParams p, const float *rows, const float *half, const float *quarter,
                                       Figures *figures)
{
    __shared__ float room[THREADS];
    __shared__ float mean;
    float sum = 0.0f, detail = 0.0f;
    if (blockIdx.x == 0) {
        for (unsigned from = 0; from < p.fit_height; from += THREADS) {
            unsigned at = from + threadIdx.x;
            add_in_order(&sum, at < p.fit_height ? rows[at] : 0.0f, min(p.fit_height - from, (unsigned)THREADS), room);
        }
        if (threadIdx.x == 0)
            figures->fine = sum / (float)p.fit_height;
        return;
    }
    if (blockIdx.x == 1) {
        unsigned width = p.fit_width / 2, height = p.fit_height / 2;
        for (unsigned from = 0; from < width * height; from += THREADS) {
            unsigned at = from + threadIdx.x;
            bool is_one = at < width * height && at % width >= 2;
            add_in_order(&sum, is_one ? second_difference(half[at - 2], half[at - 1], half[at]) : 0.0f, THREADS, room);
        }
        if (threadIdx.x == 0)
            figures->middle = sum / (float)((width - 2) * height);
        return;
    }
    unsigned width = p.fit_width / 4, cells = width * (p.fit_height / 4);
    for (unsigned from = 0; from < cells; from += THREADS) {
        unsigned at = from + threadIdx.x;
        float own = at < cells ? brightness_at(quarter, cells, at) : 0.0f, off = 0.0f;
        if (at < cells && at % width >= 2)
            off = second_difference(brightness_at(quarter, cells, at - 2), brightness_at(quarter, cells, at - 1), own);
        add_in_order(&sum, own, THREADS, room);
        add_in_order(&detail, off, THREADS, room);
    }
    if (threadIdx.x == 0)
        mean = sum / (float)cells;
    float square = 0.0f;
    for (unsigned from = 0; from < cells; from += THREADS) {
        unsigned at = from + threadIdx.x;
        __syncthreads();
        float off = at < cells ? brightness_at(quarter, cells, at) - mean : 0.0f;
        add_in_order(&square, off * off, THREADS, room);
    }
    if (threadIdx.x == 0) {
        figures->coarse = detail / (float)((width - 2) * (p.fit_height / 4));
        figures->contrast = sqrtf(square / (float)cells);
    }
}

// The grey at half size, as it is walked through: along lines that lie beside each other across.
struct Walk {
    const float *half;
    unsigned across, along, across_step, along_step, least;
};

// Is most of the EDGE_GAP lines from `first` on lit, as far as `line` goes?
__device__ bool is_lit(const Walk *w, const Line *line, unsigned first)
{
    unsigned lit = 0;
    for (unsigned at = first; at < first + EDGE_GAP; at++)
        for (unsigned i = line->from; i <= line->to; i++)
            lit += w->half[at * w->across_step + i * w->along_step] > DARK ? 1 : 0;
    return (float)lit >= 0.6f * (float)(EDGE_GAP * (line->to + 1 - line->from));
}

// The edges of one sign at one line; writes those whose number is below MOST_LINES from `number` on. How many there are.
__device__ unsigned edges_at(const Walk *w, unsigned at, float sign, Line *lines, unsigned number)
{
    unsigned count = 0, from = 0, to = 0;
    bool has_run = false;
    for (unsigned i = 0; i <= w->along; i++) {
        bool is_end = i == w->along;
        unsigned here = at * w->across_step + i * w->along_step;
        if (!is_end && sign * (w->half[here] - w->half[here - w->across_step]) <= EDGE_STEP)
            continue;
        if (!is_end && has_run && i - to <= EDGE_GAP) {
            to = i;
            continue;
        }
        if (has_run && to + 1 - from >= w->least) {
            if (lines && number + count < MOST_LINES) {
                Line line = {(unsigned short)at, (unsigned short)from, (unsigned short)to, 0};
                line.is_lit = is_lit(w, &line, at - EDGE_GAP - 1) && is_lit(w, &line, at + 1) ? 1 : 0;
                lines[number + count] = line;
            }
            count++;
        }
        from = to = i;
        has_run = true;
    }
    return count;
}

extern "C" __global__ void glance_edges(const __grid_constant__ GlanceParams p, const float *half, Line *vertical, Line *horizontal,
                                        unsigned *found)
{
    __shared__ unsigned before[THREADS], all;
    Line *lines = blockIdx.x == 0 ? vertical : horizontal;
    unsigned width = p.fit_width / 2, height = p.fit_height / 2;
    Walk w = {half, width, height, 1, width, 0};
    if (blockIdx.x == 1) {
        Walk other = {half, height, width, width, 1, 0};
        w = other;
    }
    w.least = (unsigned)(EDGE_PART * (float)w.along);
    // Two signs a line; the outermost lines are the rim of the picture itself.
    unsigned items = w.across > 2 * (EDGE_GAP + 1) ? 2 * (w.across - 2 * (EDGE_GAP + 1)) : 0, share = (items + THREADS - 1) / THREADS;
    unsigned first = min(threadIdx.x * share, items), end = min(first + share, items), own = 0;
    for (unsigned item = first; item < end; item++)
        own += edges_at(&w, EDGE_GAP + 1 + item / 2, item % 2 == 0 ? 1.0f : -1.0f, nullptr, 0);
    before[threadIdx.x] = own;
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned sum = 0;
        for (unsigned i = 0; i < THREADS; i++) {
            unsigned next = sum + before[i];
            before[i] = sum;
            sum = next;
        }
        all = min(sum, (unsigned)MOST_LINES);
    }
    __syncthreads();
    unsigned number = before[threadIdx.x];
    for (unsigned item = first; item < end; item++)
        number += edges_at(&w, EDGE_GAP + 1 + item / 2, item % 2 == 0 ? 1.0f : -1.0f, lines, number);
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned lit = 0;
        for (unsigned i = 0; i < all; i++)
            if (lines[i].is_lit)
                lines[lit++] = lines[i];
        found[blockIdx.x] = lit;
    }
}
