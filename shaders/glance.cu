// What is told of a frame before anybody has analysed it, from the model's input: does it follow on the last one, and what are the
// signs of a picture that the engine was not made for. The same operations in the same order as `thumb` in src/track/continuity.rs and
// as src/track/signs.rs, where the constants are explained; the two agree to the last bit. Long sums are taken in lanes, a thread each
// (src/track/lanes.rs).
//
// glance_thumb    in   input    3·height·width numbers as the network is shown them, floats or halves
//                 out  thumb    COLUMNS·ROWS numbers: green, 0..1
// glance_shrink   in   input
//                 out  half     grey of each block of 2 × 2 of the picture, 0..1
//                      quarter  three planes: R, G, B of each block of 4 × 4
// glance_details  in   input, half, quarter
//                 out  details  mean detail of each row: of the picture, then of `half`, then of `quarter`. ROW_LANES threads a row
// glance_counts   in   quarter
//                 out  figures  the counts are added to it: zeros before
// glance_sums     in   details, quarter
//                 out  figures  the rest. One block of LANES
// glance_edges    in   half
//                 out  vertical, horizontal  edges that have light on both sides; room for MOST_LINES each
//                      found    how many of either there are. One block of EDGE_THREADS for each
//
// Else one thread for each of what comes out, THREADS to a block.

#define THREADS 128
#define LANES 256
#define ROW_LANES 32
#define EDGE_THREADS 512
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
#define COUNTS 7
// An edge is so long that no line has more of one sign.
#define MOST_OF_LINE 3
#define AHEAD 8

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
    // Blocks of 4 × 4: not dark; lit; and of those: cold, vivid, greenish. Of those that are not dark and have both neighbours: as those
    // are; all.
    unsigned counts[COUNTS];
    // Mean detail at full size, at a half and at a quarter of it; standard deviation of the brightness.
    float details[3], contrast;
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

// Adds up what the `lanes` threads have that stand together; `lanes` divides the block.
__device__ float sum_of_lanes(float own, unsigned lanes, float *room)
{
    unsigned lane = threadIdx.x % lanes;
    __syncthreads();
    room[threadIdx.x] = own;
    for (unsigned half = lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half)
            room[threadIdx.x] += room[threadIdx.x + half];
    }
    __syncthreads();
    return room[threadIdx.x - lane];
}

__device__ float brightness_at(const float *quarter, unsigned cells, unsigned at)
{
    return (quarter[at] + quarter[cells + at] + quarter[2 * cells + at]) / 3.0f;
}

extern "C" __global__ void glance_details(const __grid_constant__ GlanceParams p, const void *input, const float *half, const float *quarter,
                                          float *details)
{
    __shared__ float room[THREADS];
    unsigned row = blockIdx.x * (THREADS / ROW_LANES) + threadIdx.x / ROW_LANES, lane = threadIdx.x % ROW_LANES;
    unsigned height = p.fit_height, width = p.fit_width, cells = width / 4 * (height / 4);
    unsigned first_of_half = height, first_of_quarter = height + height / 2, rows = first_of_quarter + height / 4;
    float sum = 0.0f;
    if (row < first_of_half) {
        for (unsigned x = lane; x + 2 < width; x += ROW_LANES)
            sum += second_difference(grey_at(&p, input, x, row), grey_at(&p, input, x + 1, row), grey_at(&p, input, x + 2, row));
    } else if (row < first_of_quarter) {
        width /= 2;
        const float *from = half + (row - first_of_half) * width;
        for (unsigned x = lane; x + 2 < width; x += ROW_LANES)
            sum += second_difference(from[x], from[x + 1], from[x + 2]);
    } else if (row < rows) {
        width /= 4;
        const float *from = quarter + (row - first_of_quarter) * width;
        for (unsigned x = lane; x + 2 < width; x += ROW_LANES)
            sum += second_difference(brightness_at(from, cells, x), brightness_at(from, cells, x + 1), brightness_at(from, cells, x + 2));
    }
    sum = sum_of_lanes(sum, ROW_LANES, room);
    if (lane == 0 && row < rows)
        details[row] = sum / (float)(width - 2);
}

__device__ bool is_near(const float *plane, unsigned at, unsigned other)
{
    return fabsf(plane[at] - plane[other]) < FLAT_STEP;
}

extern "C" __global__ void glance_counts(const __grid_constant__ GlanceParams p, const float *quarter, Figures *figures)
{
    __shared__ unsigned counts[COUNTS];
    unsigned width = p.fit_width / 4, height = p.fit_height / 4, at = blockIdx.x * THREADS + threadIdx.x;
    if (threadIdx.x < COUNTS)
        counts[threadIdx.x] = 0;
    __syncthreads();
    if (at < width * height) {
        const float *red = quarter, *green = red + width * height, *blue = green + width * height;
        float r = red[at], g = green[at], b = blue[at], brightest = fmaxf(fmaxf(r, g), b), cool = fmaxf(g, b);
        bool is_seen = brightest > DARK, is_lit = brightest > LIT, is_flat = true;
        bool has_both = is_seen && at % width + 1 < width && at / width + 1 < height;
        for (unsigned colour = 0; colour < 3 && has_both; colour++) {
            const float *plane = quarter + colour * width * height;
            is_flat = is_flat && is_near(plane, at, at + 1) && is_near(plane, at, at + width);
        }
        bool are[COUNTS] = {is_seen,
                            is_lit,
                            is_lit && cool > 1.25f * r + 0.03f,
                            is_lit && cool > 1.8f * r + 0.1f,
                            is_lit && g > 1.02f * r + 0.008f,
                            has_both && is_flat,
                            has_both};
        for (unsigned i = 0; i < COUNTS; i++)
            if (are[i])
                atomicAdd(&counts[i], 1);
    }
    __syncthreads();
    if (threadIdx.x < COUNTS && counts[threadIdx.x] != 0)
        atomicAdd(&figures->counts[threadIdx.x], counts[threadIdx.x]);
}

extern "C" __global__ void glance_sums(const __grid_constant__ GlanceParams p, const float *details, const float *quarter, Figures *figures)
{
    __shared__ float room[LANES];
    // Each of the first three groups of ROW_LANES adds up one plane's rows.
    unsigned plane = threadIdx.x / ROW_LANES, lane = threadIdx.x % ROW_LANES;
    unsigned rows[3] = {p.fit_height, p.fit_height / 2, p.fit_height / 4}, first = 0;
    float sum = 0.0f;
    for (unsigned before = 0; before < plane && before < 3; before++)
        first += rows[before];
    for (unsigned row = lane; plane < 3 && row < rows[plane]; row += ROW_LANES)
        sum += details[first + row];
    sum = sum_of_lanes(sum, ROW_LANES, room);
    if (plane < 3 && lane == 0)
        figures->details[plane] = sum / (float)rows[plane];

    unsigned cells = p.fit_width / 4 * (p.fit_height / 4);
    float mean = 0.0f, square = 0.0f;
#pragma unroll 4
    for (unsigned at = threadIdx.x; at < cells; at += LANES)
        mean += brightness_at(quarter, cells, at);
    mean = sum_of_lanes(mean, LANES, room) / (float)cells;
#pragma unroll 4
    for (unsigned at = threadIdx.x; at < cells; at += LANES) {
        float off = brightness_at(quarter, cells, at) - mean;
        square += off * off;
    }
    square = sum_of_lanes(square, LANES, room);
    if (threadIdx.x == 0)
        figures->contrast = sqrtf(square / (float)cells);
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
#pragma unroll 4
        for (unsigned i = line->from; i <= line->to; i++)
            lit += w->half[at * w->across_step + i * w->along_step] > DARK ? 1 : 0;
    return (float)lit >= 0.6f * (float)(EDGE_GAP * (line->to + 1 - line->from));
}

struct Edges {
    unsigned count;
    unsigned short ends[MOST_OF_LINE][2];
};

__device__ void keep(Edges *edges, const Walk *w, unsigned from, unsigned to)
{
    if (to + 1 - from < w->least || edges->count == MOST_OF_LINE)
        return;
    edges->ends[edges->count][0] = (unsigned short)from;
    edges->ends[edges->count++][1] = (unsigned short)to;
}

// Of one sign at one line.
__device__ Edges edges_at(const Walk *w, unsigned at, float sign)
{
    Edges edges = {};
    unsigned from = 0, to = 0;
    bool has_run = false;
    for (unsigned first = 0; first < w->along; first += AHEAD) {
        // Fetched together: nothing waits for one after the other.
        float step[AHEAD];
#pragma unroll
        for (unsigned k = 0; k < AHEAD; k++) {
            unsigned here = at * w->across_step + min(first + k, w->along - 1) * w->along_step;
            step[k] = sign * (w->half[here] - w->half[here - w->across_step]);
        }
#pragma unroll
        for (unsigned k = 0; k < AHEAD; k++) {
            unsigned i = first + k;
            if (i >= w->along || step[k] <= EDGE_STEP)
                continue;
            if (has_run && i - to > EDGE_GAP)
                keep(&edges, w, from, to);
            if (!has_run || i - to > EDGE_GAP)
                from = i;
            to = i;
            has_run = true;
        }
    }
    if (has_run)
        keep(&edges, w, from, to);
    return edges;
}

extern "C" __launch_bounds__(EDGE_THREADS) __global__ void glance_edges(const __grid_constant__ GlanceParams p, const float *half, Line *vertical,
                                                                        Line *horizontal, unsigned *found)
{
    __shared__ unsigned room[SUM_ROOM(EDGE_THREADS)];
    __shared__ Line lines[MOST_LINES];
    __shared__ bool lit[EDGE_THREADS];
    unsigned width = p.fit_width / 2, height = p.fit_height / 2;
    Walk w = {half, width, height, 1, width, 0};
    if (blockIdx.x == 1) {
        Walk other = {half, height, width, width, 1, 0};
        w = other;
    }
    w.least = (unsigned)(EDGE_PART * (float)w.along);
    // Two signs a line; the outermost lines are the rim of the picture itself.
    unsigned items = w.across > 2 * (EDGE_GAP + 1) ? 2 * (w.across - 2 * (EDGE_GAP + 1)) : 0, all = 0;
    for (unsigned first = 0; first < items && all < MOST_LINES; first += EDGE_THREADS) {
        unsigned item = first + threadIdx.x, at = EDGE_GAP + 1 + item / 2, count;
        Edges edges = {};
        if (item < items)
            edges = edges_at(&w, at, item % 2 == 0 ? 1.0f : -1.0f);
        unsigned number = all + sum_before<EDGE_THREADS>(edges.count, room, &count);
        for (unsigned i = 0; i < edges.count && number + i < MOST_LINES; i++) {
            Line line = {(unsigned short)at, edges.ends[i][0], edges.ends[i][1], 1};
            lines[number + i] = line;
        }
        all = min(all + count, (unsigned)MOST_LINES);
    }
    __syncthreads();

    // Two threads a line: one for either side of it.
    unsigned line = threadIdx.x / 2;
    lit[threadIdx.x] = line < all && is_lit(&w, &lines[line], threadIdx.x % 2 == 0 ? lines[line].at - EDGE_GAP - 1 : lines[line].at + 1);
    __syncthreads();
    unsigned is_kept = threadIdx.x < all && lit[2 * threadIdx.x] && lit[2 * threadIdx.x + 1] ? 1 : 0, count;
    unsigned number = sum_before<EDGE_THREADS>(is_kept, room, &count);
    if (is_kept)
        (blockIdx.x == 0 ? vertical : horizontal)[number] = lines[threadIdx.x];
    if (threadIdx.x == 0)
        found[blockIdx.x] = count;
}
