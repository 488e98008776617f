// One pass: what is looked at of every picture without fetching it from the device: is it the last one again, is it dark, what does it
// look like from afar. The same integers as in src/frame/preview.rs.
//
// preview_rows       in   frame       bytes of the captured planes, at the planes' offsets and strides, which are multiples of 64
//                   out  digests     a number a row of each plane, one plane after the other
//                        brightest   a level a row of the first plane, 0..255: the brightest sample of it
// preview_thumbnail  in   frame
//                   out  thumbnail   160 × 90 levels: each the mean of 4 × 4 samples of its box
// preview_finish     in   digests, brightest
//                   out  preview      the sum of all digests; the digests of the sampled rows of the first plane, others 0; the
//                                    brightest level of the sampled rows (src/frame/preview.rs)
//
// One block a row; one thread a level; one block.

#define THREADS 128
#define SAMPLED 64
#define WIDTH 160
#define HEIGHT 90
#define TAPS 4

typedef unsigned long long u64;

struct PreviewParams {
    unsigned planes;
    unsigned offset[3], stride[3], rows[3];
    // Of a row: those that its source writes.
    unsigned bytes[3];
    // v210: words of three samples. Else: which of the four bytes of a word are light, a bit each.
    unsigned is_v210, light;
    // Sample x of a row of the thumbnail's light is byte step·x + place; v210: of its group of 16 bytes.
    unsigned step, place;
    // Of the picture; and how many of its rows are sampled.
    unsigned width, height, sampled;
};

__device__ u64 mixed(u64 value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ value >> 27) * 0x94d049bb133111ebull;
    return value ^ value >> 31;
}

__device__ unsigned larger(unsigned a, unsigned b)
{
    return a < b ? b : a;
}

// The upper eight bits of each.
__device__ unsigned brightest_of_v210(unsigned word, unsigned index)
{
    return index % 2 == 0 ? word >> 12 & 255 : larger(word >> 2 & 255, word >> 22 & 255);
}

__device__ unsigned brightest_of(const PreviewParams *p, unsigned word, unsigned index)
{
    if (p->is_v210)
        return brightest_of_v210(word, index);
    unsigned most = 0;
    for (unsigned byte = 0; byte < 4; byte++)
        if (p->light >> byte & 1)
            most = larger(most, word >> 8 * byte & 255);
    return most;
}

// The sum and the largest of what the threads of a block have: in the first place of each, for the first thread.
__device__ void take_together(u64 *sums, unsigned *levels, u64 sum, unsigned level)
{
    sums[threadIdx.x] = sum;
    levels[threadIdx.x] = level;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            sums[threadIdx.x] += sums[threadIdx.x + half];
            levels[threadIdx.x] = larger(levels[threadIdx.x], levels[threadIdx.x + half]);
        }
    }
}

extern "C" __global__ void preview_rows(const __grid_constant__ PreviewParams p, const unsigned char *frame, u64 *digests, unsigned *brightest)
{
    __shared__ u64 sums[THREADS];
    __shared__ unsigned levels[THREADS];
    unsigned plane = 0, row = blockIdx.x;
    while (plane + 1 < p.planes && row >= p.rows[plane])
        row -= p.rows[plane++];
    const unsigned char *bytes = frame + p.offset[plane] + row * p.stride[plane];
    unsigned count = p.bytes[plane];
    u64 sum = 0;
    unsigned level = 0;
    for (unsigned index = threadIdx.x; index < (count + 3) / 4; index += THREADS) {
        unsigned word = ((const unsigned *)bytes)[index];
        // What follows the row's end is nobody's.
        if (4 * index + 4 > count)
            word &= (1u << 8 * (count % 4)) - 1;
        sum += mixed(word ^ ((u64)blockIdx.x << 32 | index) * 0x9e3779b97f4a7c15ull);
        if (plane == 0)
            level = larger(level, brightest_of(&p, word, index));
    }
    take_together(sums, levels, sum, level);
    if (threadIdx.x == 0) {
        digests[blockIdx.x] = sums[0];
        if (plane == 0)
            brightest[row] = levels[0];
    }
}

__device__ unsigned light_at(const PreviewParams *p, const unsigned char *row, unsigned x)
{
    if (!p->is_v210)
        return row[p->step * x + p->place];
    // Samples 1, 3, 5, 7, 9, 11 of the group's words of three.
    unsigned sample = 2 * (x % 6) + 1;
    const unsigned char *word = row + x / 6 * 16 + sample / 3 * 4;
    unsigned bits = word[0] | (unsigned)word[1] << 8 | (unsigned)word[2] << 16 | (unsigned)word[3] << 24;
    return bits >> (sample % 3 * 10 + 2) & 255;
}

extern "C" __global__ void preview_thumbnail(const __grid_constant__ PreviewParams p, const unsigned char *frame, unsigned char *thumbnail)
{
    unsigned at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= WIDTH * HEIGHT)
        return;
    unsigned sum = 0;
    for (unsigned y = at / WIDTH * TAPS; y < (at / WIDTH + 1) * TAPS; y++) {
        const unsigned char *row = frame + p.offset[0] + (2 * y + 1) * p.height / (2 * HEIGHT * TAPS) * p.stride[0];
        for (unsigned x = at % WIDTH * TAPS; x < (at % WIDTH + 1) * TAPS; x++)
            sum += light_at(&p, row, (2 * x + 1) * p.width / (2 * WIDTH * TAPS));
    }
    thumbnail[at] = (unsigned char)(sum / (TAPS * TAPS));
}

struct Preview {
    u64 digest;
    u64 rows[SAMPLED];
    u64 brightest;
};

extern "C" __global__ void preview_finish(const __grid_constant__ PreviewParams p, const u64 *digests, const unsigned *brightest, Preview *preview)
{
    __shared__ u64 sums[THREADS];
    __shared__ unsigned levels[THREADS];
    unsigned rows = p.rows[0] + p.rows[1] + p.rows[2];
    u64 sum = 0;
    for (unsigned row = threadIdx.x; row < rows; row += THREADS)
        sum += digests[row];
    unsigned level = 0;
    if (threadIdx.x < SAMPLED) {
        bool is_used = threadIdx.x < p.sampled;
        unsigned row = is_used ? (2 * threadIdx.x + 1) * p.height / (2 * p.sampled) : 0;
        preview->rows[threadIdx.x] = is_used ? digests[row] : 0;
        level = is_used ? brightest[row] : 0;
    }
    take_together(sums, levels, sum, level);
    if (threadIdx.x == 0) {
        preview->digest = sums[0];
        preview->brightest = levels[0];
    }
}
