// One pass: labels → connected regions (by sides) of equal labels; regions too small to be seen fall to what lies above, else left
// of, their first pixel. Numbers, areas and boxes are exactly those of src/track/regions.rs. Six launches, one after the other:
//
// regions_start    out    parent, area
// regions_join     in     labels            in/out parent; runs: the number of stretches of one label in rows is added to it
//                  (zero before): more than pixels / 12 + 8·height are noise, and what follows is then of no use
// regions_measure  in/out parent, area
// regions_settle   in     labels, parent, area   out  into
// regions_number   in     labels, into      out    number, list, count
// regions_map      in     into, number      out    map, in/out list
//
// buffers  labels  width·height bytes: 255 instrument
//          parent, area, into, number  a number a pixel: places in the map, from any pixel towards its region's first one
//          map     a 16-bit region number a pixel
//          list    one region a number, room for MOST_REGIONS; count: how many there are
//
// One thread a pixel, blocks of THREADS; regions_number one block of THREADS.

#define THREADS 256
#define INSTRUMENT 255
#define MIN_INSTRUMENT 0.0005f
#define MIN_OTHER 0.002f
#define MOST_REGIONS 65535u

struct RegionParams {
    // At most 2²⁰ pixels.
    unsigned width, height;
};

struct Region {
    unsigned label, area;
    // Half-open, in map pixels.
    unsigned box[4];
};

__device__ unsigned pixel_of_thread()
{
    return blockIdx.x * THREADS + threadIdx.x;
}

// Others change parents meanwhile, but only towards the same root.
__device__ unsigned root_of(const volatile unsigned *parent, unsigned at)
{
    while (parent[at] != at)
        at = parent[at];
    return at;
}

__device__ void join(unsigned *parent, unsigned a, unsigned b)
{
    while (true) {
        a = root_of(parent, a);
        b = root_of(parent, b);
        if (a == b)
            return;
        // The earlier pixel stays the root.
        unsigned late = max(a, b), early = min(a, b);
        unsigned before = atomicMin(&parent[late], early);
        if (before == late)
            return;
        // Somebody else had joined it in the meantime.
        a = before;
        b = early;
    }
}

extern "C" __global__ void regions_start(const __grid_constant__ RegionParams p, unsigned *parent, unsigned *area)
{
    unsigned at = pixel_of_thread();
    if (at >= p.width * p.height)
        return;
    parent[at] = at;
    area[at] = 0;
}

extern "C" __global__ void regions_join(const __grid_constant__ RegionParams p, const unsigned char *labels, unsigned *parent, unsigned *runs)
{
    unsigned at = pixel_of_thread();
    if (at >= p.width * p.height)
        return;
    bool starts = at % p.width == 0 || labels[at] != labels[at - 1];
    if (starts)
        atomicAdd(runs, 1);
    else
        join(parent, at, at - 1);
    if (at >= p.width && labels[at] == labels[at - p.width])
        join(parent, at, at - p.width);
}

extern "C" __global__ void regions_measure(const __grid_constant__ RegionParams p, unsigned *parent, unsigned *area)
{
    unsigned at = pixel_of_thread();
    if (at >= p.width * p.height)
        return;
    unsigned root = root_of(parent, at);
    parent[at] = root;
    atomicAdd(&area[root], 1);
}

extern "C" __global__ void regions_settle(const __grid_constant__ RegionParams p, const unsigned char *labels, const unsigned *parent,
                                          const unsigned *area, unsigned *into)
{
    unsigned at = pixel_of_thread();
    if (at >= p.width * p.height)
        return;
    unsigned root = parent[at];
    // Each step leads to a region that starts earlier.
    while (true) {
        float part = labels[root] == INSTRUMENT ? MIN_INSTRUMENT : MIN_OTHER;
        bool is_small = (float)area[root] < part * (float)(p.width * p.height);
        if (!is_small || root == 0)
            break;
        root = parent[root >= p.width ? root - p.width : root - 1];
    }
    into[at] = root;
}

extern "C" __global__ void regions_number(const __grid_constant__ RegionParams p, const unsigned char *labels, const unsigned *into,
                                          unsigned *number, Region *list, unsigned *count)
{
    __shared__ unsigned before[THREADS];
    unsigned pixels = p.width * p.height, share = (pixels + THREADS - 1) / THREADS;
    unsigned first = min(threadIdx.x * share, pixels), end = min(first + share, pixels);
    unsigned own = 0;
    for (unsigned at = first; at < end; at++)
        own += into[at] == at;
    before[threadIdx.x] = own;
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned sum = 0;
        for (unsigned i = 0; i < THREADS; i++) {
            unsigned next = sum + before[i];
            before[i] = sum;
            sum = next;
        }
        *count = min(sum, MOST_REGIONS);
    }
    __syncthreads();
    unsigned next = before[threadIdx.x];
    for (unsigned at = first; at < end; at++) {
        number[at] = min(next, MOST_REGIONS - 1);
        if (into[at] != at)
            continue;
        if (next < MOST_REGIONS) {
            Region region = {labels[at], 0, {0xffffffffu, 0xffffffffu, 0, 0}};
            list[next] = region;
        }
        next++;
    }
}

extern "C" __global__ void regions_map(const __grid_constant__ RegionParams p, const unsigned *into, const unsigned *number, unsigned short *map,
                                       Region *list)
{
    unsigned at = pixel_of_thread();
    if (at >= p.width * p.height)
        return;
    unsigned region = number[into[at]];
    map[at] = (unsigned short)region;
    unsigned x = at % p.width, y = at / p.width;
    atomicAdd(&list[region].area, 1);
    atomicMin(&list[region].box[0], x);
    atomicMin(&list[region].box[1], y);
    atomicMax(&list[region].box[2], x + 1);
    atomicMax(&list[region].box[3], y + 1);
}
