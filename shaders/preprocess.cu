// One pass: captured planes → the model's normalised input. Area average of each plane at its own resolution, colour matrix
// (and tone mapping) at the input's resolution, the engine's mean and deviation, the correction of light and colours, black
// outside the endoscope's picture. On the way it takes the figures from which the next frame's correction is made.
// The same operations in the same order as src/infer/preprocess.rs and src/infer/normalise; compiled without fused
// operations, the two agree to the last bit.
//
// in   frame       bytes of the captured planes, at the taps' offsets and strides
//      spans       the boxes of the output samples: fit_width of luma columns, fit_width of chroma columns, fit_height of
//                  luma rows, fit_height of chroma rows
//      light       1024 numbers of 15 bits: the light of a 10-bit code (frame::Tone::to_linear); read where is_mapped
//      shown       32768 bytes: the level at which a light is shown (frame::Tone::to_display); read where is_mapped
//      inside      2 columns a row of the input: where the endoscope's picture starts and ends; read where has_outside or
//                  is_corrected
// out  input       3·height·width numbers, NCHW or NHWC, floats or halves; 0..1 less the mean over the deviation
//      lit         2 columns a row of the input: from the first to behind the last run of bright pixels, 0 and 0 where there
//                  is none; written where is_judged
//      histograms  3 × 193 counts (brightness, red against green, yellow against blue; the last of each is what does not
//                  count) over every judged_step-th row, added to what stands there; where is_judged
//
// One block a row of the input. Dynamic shared memory: 3·width floats where is_judged, else none.

#ifdef __CUDACC__
#define DYNAMIC_SHARED(name) extern __shared__ float name[]
#endif

#define MOST_THREADS 256
#define BINS 192
#define ROWS_A_SUM 256
#define RUN 3
#define BLACK 0.05f
#define CLIPPED 0.98f
#define FLOOR ((float)(4.0 / 255.0))
#define THIRD (1.0f / 3.0f)

// The box of one output sample on one axis: first and last count in part, what lies between counts whole.
struct Span {
    int first, last;
    float first_weight, last_weight;
};

// Where the samples of one of the three channels stand. Bytes and words: sample x of a row lies at offset + row·stride +
// x·step. v210: groups of 16 bytes, in which sample x is number index_start + (x mod per_group)·index_step.
struct Tap {
    unsigned offset, stride, step;
    unsigned per_group, index_start, index_step;
    // Whose spans: 0 luma's, 1 chroma's.
    unsigned column_axis, row_axis;
    // Rows of the span's for one row of samples: 2 where a row of ten-bit chroma counts with each of its luma rows.
    unsigned row_share;
    // Makes a sum of weights one, and ten bits eight.
    float scale;
};

struct PreprocessParams {
    // 0: bytes. 1: v210. 2: 16-bit words, little endian, ten upper bits.
    unsigned samples;
    // Of the input, and where in it the picture lies.
    unsigned width, height;
    unsigned fit_x, fit_y, fit_width, fit_height;
    unsigned is_nchw, is_half, is_mapped;
    unsigned is_judged, judged_step, has_outside, is_corrected;
    Tap taps[3];
    // R, G, B in 0..1 = m·(first, second, third) + constant; where is_mapped first to codes 0..1023 by the other matrix.
    float matrix[3][4];
    float codes_matrix[3][4];
    // 14 fraction bits.
    int gamut[3][3];
    // Of R, G, B: channel of the input; what makes the input of 0..1; and what was it made with.
    unsigned channel[3];
    float gain[3], offset[3], mean[3], deviation[3];
    // The correction: 2 to the power of its gamma, of gamma + saturation, and the shifts in binary logarithms.
    float gamma, vivid, shift[3];
};

__device__ float clamped(float value, float low, float high)
{
    return fminf(fmaxf(value, low), high);
}

__device__ unsigned short half_bits(float value)
{
    unsigned short bits;
#ifdef __CUDACC__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
#else
    _Float16 half = (_Float16)value;
    memcpy(&bits, &half, sizeof bits);
#endif
    return bits;
}

// One column of bytes, summed over the rows of a span.
__device__ float sum_of_bytes(const unsigned char *column, unsigned stride, Span rows)
{
    bool is_few = rows.last - rows.first - 1 <= ROWS_A_SUM;
    unsigned whole = 0;
    for (int row = rows.first + 1; row < rows.last && is_few; row++)
        whole += column[row * stride];
    float sum = (float)whole + (float)column[rows.first * stride] * rows.first_weight
        + (float)column[rows.last * stride] * rows.last_weight;
    // The reference adds so many rows one by one.
    for (int row = rows.first + 1; row < rows.last && !is_few; row++)
        sum += (float)column[row * stride];
    return sum;
}

__device__ unsigned ten_bit_sample(const unsigned char *row, const Tap *tap, unsigned samples, unsigned x)
{
    if (samples == 2) {
        const unsigned char *word = row + x * tap->step;
        return (word[0] | (unsigned)word[1] << 8) >> 6;
    }
    unsigned index = tap->index_start + x % tap->per_group * tap->index_step;
    const unsigned char *word = row + x / tap->per_group * 16 + index / 3 * 4;
    unsigned bits = word[0] | (unsigned)word[1] << 8 | (unsigned)word[2] << 16 | (unsigned)word[3] << 24;
    return bits >> (index % 3 * 10) & 1023;
}

// One column of ten-bit samples, summed over the rows of a span.
__device__ float sum_of_ten_bits(const unsigned char *plane, const Tap *tap, unsigned samples, unsigned x, Span rows)
{
    float sum = 0.0f;
    for (int row = rows.first; row <= rows.last; row++) {
        float weight = row == rows.first ? rows.first_weight : row == rows.last ? rows.last_weight : 1.0f;
        const unsigned char *bytes = plane + (unsigned)row / tap->row_share * tap->stride;
        sum += weight * (float)ten_bit_sample(bytes, tap, samples, x);
    }
    return sum;
}

__device__ float column_sum(const unsigned char *frame, const Tap *tap, unsigned samples, int x, Span rows)
{
    const unsigned char *plane = frame + tap->offset;
    if (samples == 0)
        return sum_of_bytes(plane + (unsigned)x * tap->step, tap->stride, rows);
    return sum_of_ten_bits(plane, tap, samples, (unsigned)x, rows);
}

// The area average of one channel over the box of the picture's pixel (x, y), in code values 0..255.
__device__ float average(const unsigned char *frame, const Span *spans, const PreprocessParams *p, unsigned channel, unsigned x, unsigned y)
{
    const Tap *tap = &p->taps[channel];
    Span columns = spans[tap->column_axis * p->fit_width + x];
    Span rows = spans[2 * p->fit_width + tap->row_axis * p->fit_height + y];
    float first = column_sum(frame, tap, p->samples, columns.first, rows) * columns.first_weight;
    float last = column_sum(frame, tap, p->samples, columns.last, rows) * columns.last_weight;
    float sum = first + last;
    for (int column = columns.first + 1; column < columns.last; column++)
        sum += column_sum(frame, tap, p->samples, column, rows);
    return sum * tap->scale;
}

__device__ float matrix_row(const float *row, const float *values)
{
    return values[0] * row[0] + values[1] * row[1] + values[2] * row[2] + row[3];
}

// From averaged samples to R, G, B as they are shown: frame::Tone.
__device__ void map_tone(const PreprocessParams *p, const int *light, const unsigned char *shown, float *values)
{
    int lights[3];
    for (int i = 0; i < 3; i++)
        lights[i] = light[(int)clamped(matrix_row(p->codes_matrix[i], values) + 0.5f, 0.0f, 1023.0f)];
    for (int i = 0; i < 3; i++) {
        const int *row = p->gamut[i];
        int sum = row[0] * lights[0] + row[1] * lights[1] + row[2] * lights[2] + 8192;
        values[i] = (float)shown[min(max(sum >> 14, 0), 32767)];
    }
}

// Binary logarithm of FLOOR or more, and 2 to a power within ±120: src/infer/normalise/rows.rs.
__device__ float log2_of(float value)
{
    unsigned bits = __float_as_uint(value);
    int exponent = (int)(bits >> 23) - 127;
    float m = __uint_as_float((bits & 0x007fffffu) | 0x3f800000u) - 1.0f;
    float series = 0.4135551f + m * (-0.1912625f + m * 0.0442437f);
    return (float)exponent + m * (1.4418359f + m * (-0.7083722f + m * series));
}

__device__ float exp2_of(float value)
{
    float rounded = value + 12582912.0f;
    float part = value - (rounded - 12582912.0f);
    float series = 0.99992894f + part * (0.6932762f + part * (0.24260405f + part * 0.05508868f));
    return __uint_as_float(__float_as_uint(series) + (__float_as_uint(rounded) << 23));
}

__device__ float changed(float value, float log)
{
    return fminf(exp2_of(log) * clamped(value * (1.0f / FLOOR), 0.0f, 1.0f), 1.0f);
}

// R, G, B in 0..1 by the correction.
__device__ void correct(const PreprocessParams *p, float *colours)
{
    float logs[3];
    for (int i = 0; i < 3; i++)
        logs[i] = log2_of(fmaxf(colours[i], FLOOR));
    float mean = (logs[0] + logs[1] + logs[2]) * THIRD;
    float level = mean * (p->gamma - p->vivid);
    for (int i = 0; i < 3; i++)
        colours[i] = changed(colours[i], logs[i] * p->vivid + level + p->shift[i]);
}

__device__ unsigned bin_of(float value, bool is_counted)
{
    if (!is_counted)
        return BINS;
    return (unsigned)(int)clamped(value * 32.0f + (float)(BINS / 2) + 0.5f, 0.0f, (float)(BINS - 1));
}

// The bins of one pixel's brightness (about −3), red against green, and yellow against blue.
__device__ void bins_of(float red, float green, float blue, unsigned *bins)
{
    float top = fmaxf(fmaxf(red, green), blue), least = fminf(fminf(red, green), blue);
    float r = log2_of(fmaxf(red, FLOOR)), g = log2_of(fmaxf(green, FLOOR)), b = log2_of(fmaxf(blue, FLOOR));
    bool is_lit = top > BLACK;
    bool is_coloured = is_lit && top < CLIPPED && least > FLOOR;
    bins[0] = bin_of((r + g + b) * THIRD + 3.0f, is_lit);
    bins[1] = bin_of(r - g, is_coloured);
    bins[2] = bin_of((r + g) * 0.5f - b, is_coloured);
}

extern "C" __launch_bounds__(MOST_THREADS) __global__ void preprocess(const __grid_constant__ PreprocessParams p, const unsigned char *frame,
                                                                      const Span *spans, const int *light, const unsigned char *shown,
                                                                      const int *inside, void *input, int *lit, unsigned *histograms)
{
    // R, G, B of the row before its correction: what is judged.
    DYNAMIC_SHARED(row);
    __shared__ unsigned first_lit, end_lit;
    __shared__ unsigned counts[3 * (BINS + 1)];
    unsigned y = blockIdx.x;
    if (threadIdx.x == 0) {
        first_lit = p.width;
        end_lit = 0;
    }
    for (unsigned i = threadIdx.x; i < 3 * (BINS + 1); i += blockDim.x)
        counts[i] = 0;

    unsigned from = 0, to = p.width;
    if (p.has_outside || p.is_corrected) {
        from = (unsigned)inside[2 * y];
        to = (unsigned)inside[2 * y + 1];
    }
    for (unsigned x = threadIdx.x; x < p.width; x += blockDim.x) {
        // Averaged samples; the input's numbers; R, G, B in 0..1 of them.
        float values[3], numbers[3], colours[3];
        bool is_picture = x >= p.fit_x && x < p.fit_x + p.fit_width && y >= p.fit_y && y < p.fit_y + p.fit_height;
        if (is_picture) {
            for (unsigned i = 0; i < 3; i++)
                values[i] = average(frame, spans, &p, i, x - p.fit_x, y - p.fit_y);
            if (p.is_mapped)
                map_tone(&p, light, shown, values);
        }
        for (unsigned i = 0; i < 3; i++) {
            numbers[i] = p.offset[i];
            if (is_picture)
                numbers[i] = clamped(matrix_row(p.matrix[i], values), 0.0f, 1.0f) * p.gain[i] + p.offset[i];
            // What the reference reads back of the input.
            colours[i] = numbers[i] * p.deviation[i] + p.mean[i];
            if (p.is_judged)
                row[i * p.width + x] = colours[i];
        }
        bool is_inside = x >= from && x < to;
        if (p.is_corrected && from < to) {
            if (is_inside)
                correct(&p, colours);
            for (unsigned i = 0; i < 3; i++)
                numbers[i] = (colours[i] - p.mean[i]) * p.gain[i];
        }
        if (p.has_outside && !is_inside)
            for (unsigned i = 0; i < 3; i++)
                numbers[i] = p.offset[i];
        for (unsigned i = 0; i < 3; i++) {
            unsigned at = p.is_nchw ? (p.channel[i] * p.height + y) * p.width + x : (y * p.width + x) * 3 + p.channel[i];
            if (p.is_half)
                ((unsigned short *)input)[at] = half_bits(numbers[i]);
            else
                ((float *)input)[at] = numbers[i];
        }
    }
    if (!p.is_judged)
        return;

    __syncthreads();
    for (unsigned x = threadIdx.x; x + RUN <= p.width; x += blockDim.x) {
        bool is_run = true;
        for (unsigned i = x; i < x + RUN; i++)
            is_run = is_run && fmaxf(fmaxf(row[i], row[p.width + i]), row[2 * p.width + i]) > BLACK;
        if (is_run) {
            atomicMin(&first_lit, x);
            atomicMax(&end_lit, x + RUN);
        }
    }
    __syncthreads();
    bool is_dark = end_lit == 0;
    if (threadIdx.x == 0) {
        lit[2 * y] = is_dark ? 0 : (int)first_lit;
        lit[2 * y + 1] = (int)end_lit;
    }
    if (y % p.judged_step == 0)
        for (unsigned x = first_lit + threadIdx.x; x < end_lit; x += blockDim.x) {
            unsigned bins[3];
            bins_of(row[x], row[p.width + x], row[2 * p.width + x], bins);
            for (unsigned i = 0; i < 3; i++)
                atomicAdd(&counts[i * (BINS + 1) + bins[i]], 1);
        }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < 3 * (BINS + 1); i += blockDim.x)
        if (counts[i] != 0)
            atomicAdd(&histograms[i], counts[i]);
}
