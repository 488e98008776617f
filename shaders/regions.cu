// One pass: labels → connected regions (by sides) of equal labels; regions too small to be seen fall to what lies above, else left
// of, their first pixel. Numbers, areas and boxes are exactly those of src/track/regions.rs. Six launches, one after the other:
//
// regions_start    in     labels
//                  out    parent, area; runs: the number of stretches of one label in rows is added to it (zero before): more than
//                  pixels / 12 + 8·height are noise, and what follows is then of no use
// regions_join     in     labels            in/out parent
// regions_measure  in/out parent, area      out  root
// regions_settle   in     labels, root, area     out  into, counts
// regions_number   in     labels, into, counts   out  number, list, count
// regions_map      in     into, number      out    map, in/out list
//
// buffers  labels  width·height bytes: 255 instrument
//          parent, area, root, into, number  a number a pixel: places in the map, from any pixel towards its region's first one;
//                  number may lie where root does; it is that of first ones, others have none
//          counts  a number a block: how many first ones it has
//          map     a 16-bit region number a pixel
//          list    one region a number, room for MOST_REGIONS; count: how many there are
//
// One thread a pixel, blocks of THREADS. What neighbouring threads of a block would add to the same place one of them adds for all.

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

// Others change parents meanwhile, but only towards the same root. On the way what is met is brought nearer to it: rows that were
// joined each to the one above it are no long way for long.
__device__ unsigned root_of(volatile unsigned *parent, unsigned at)
{
    while (true) {
        unsigned above = parent[at];
        if (above == at)
            return at;
        unsigned next = parent[above];
        if (next == above)
            return above;
        parent[at] = next;
        at = next;
    }
}

// Threads of a block that follow on each other stand together; the first of them says that it `is_first`. Its number; *count: of such.
__device__ unsigned first_of_thread(bool is_first, unsigned *room, unsigned *firsts, unsigned *count)
{
    unsigned before = sum_before<THREADS>(is_first ? 1 : 0, room, count), own = is_first ? before : before - 1;
    if (is_first)
        firsts[own] = threadIdx.x;
    __syncthreads();
    return firsts[own];
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

extern "C" __global__ void regions_start(const __grid_constant__ RegionParams p, const unsigned char *labels, unsigned *parent, unsigned *area,
                                         unsigned *runs)
{
    __shared__ unsigned room[SUM_ROOM(THREADS)], firsts[THREADS];
    unsigned at = pixel_of_thread(), count;
    bool is_inside = at < p.width * p.height;
    bool begins = is_inside && (at % p.width == 0 || labels[at] != labels[at - 1]);
    unsigned first = first_of_thread(threadIdx.x == 0 || begins, room, firsts, &count);
    if (is_inside) {
        // What began in the block before goes on from its last pixel.
        parent[at] = threadIdx.x == 0 && !begins ? at - 1 : at - threadIdx.x + first;
        area[at] = 0;
    }
    if (threadIdx.x == 0)
        atomicAdd(runs, begins ? count : count - 1);
}

extern "C" __global__ void regions_join(const __grid_constant__ RegionParams p, const unsigned char *labels, unsigned *parent)
{
    unsigned at = pixel_of_thread();
    if (at >= p.width * p.height || at < p.width || labels[at] != labels[at - p.width])
        return;
    // Stretches that lie above each other are joined once: where they first do.
    if (at % p.width != 0 && labels[at - 1] == labels[at] && labels[at - p.width - 1] == labels[at])
        return;
    join(parent, at, at - p.width);
}

extern "C" __global__ void regions_measure(const __grid_constant__ RegionParams p, unsigned *parent, unsigned *area, unsigned *root)
{
    __shared__ unsigned room[SUM_ROOM(THREADS)], firsts[THREADS], roots[THREADS];
    unsigned count, at = pixel_of_thread(), pixels = p.width * p.height, own = at < pixels ? root_of(parent, at) : pixels;
    if (at < pixels)
        root[at] = own;
    roots[threadIdx.x] = own;
    __syncthreads();
    unsigned first = first_of_thread(threadIdx.x == 0 || roots[threadIdx.x - 1] != own, room, firsts, &count);
    bool is_last = threadIdx.x == THREADS - 1 || roots[threadIdx.x + 1] != own;
    if (at < pixels && is_last)
        atomicAdd(&area[own], threadIdx.x + 1 - first);
}

extern "C" __global__ void regions_settle(const __grid_constant__ RegionParams p, const unsigned char *labels, const unsigned *root,
                                          const unsigned *area, unsigned *into, unsigned *counts)
{
    __shared__ unsigned count;
    unsigned at = pixel_of_thread();
    if (threadIdx.x == 0)
        count = 0;
    __syncthreads();
    if (at < p.width * p.height) {
        unsigned settled = root[at];
        // Each step leads to a region that starts earlier.
        while (true) {
            float part = labels[settled] == INSTRUMENT ? MIN_INSTRUMENT : MIN_OTHER;
            bool is_small = (float)area[settled] < part * (float)(p.width * p.height);
            if (!is_small || settled == 0)
                break;
            settled = root[settled >= p.width ? settled - p.width : settled - 1];
        }
        into[at] = settled;
        if (settled == at)
            atomicAdd(&count, 1);
    }
    __syncthreads();
    if (threadIdx.x == 0)
        counts[blockIdx.x] = count;
}

extern "C" __global__ void regions_number(const __grid_constant__ RegionParams p, const unsigned char *labels, const unsigned *into,
                                          const unsigned *counts, unsigned *number, Region *list, unsigned *count)
{
    __shared__ unsigned room[SUM_ROOM(THREADS)];
    unsigned share = 0, before, whole, at = pixel_of_thread();
    for (unsigned block = threadIdx.x; block < blockIdx.x; block += THREADS)
        share += counts[block];
    sum_before<THREADS>(share, room, &before);
    bool is_first = at < p.width * p.height && into[at] == at;
    unsigned own = before + sum_before<THREADS>(is_first ? 1 : 0, room, &whole);
    if (is_first) {
        number[at] = min(own, MOST_REGIONS - 1);
        if (own < MOST_REGIONS) {
            Region region = {labels[at], 0, {0xffffffffu, 0xffffffffu, 0, 0}};
            list[own] = region;
        }
    }
    if (threadIdx.x == 0 && blockIdx.x + 1 == gridDim.x)
        *count = min(before + whole, MOST_REGIONS);
}

extern "C" __global__ void regions_map(const __grid_constant__ RegionParams p, const unsigned *into, const unsigned *number, unsigned short *map,
                                       Region *list)
{
    __shared__ unsigned room[SUM_ROOM(THREADS)], firsts[THREADS], regions[THREADS];
    unsigned groups, at = pixel_of_thread(), pixels = p.width * p.height, region = at < pixels ? number[into[at]] : MOST_REGIONS;
    if (at < pixels)
        map[at] = (unsigned short)region;
    regions[threadIdx.x] = region;
    __syncthreads();
    unsigned x = at % p.width, y = at / p.width;
    unsigned first = first_of_thread(threadIdx.x == 0 || x == 0 || regions[threadIdx.x - 1] != region, room, firsts, &groups);
    bool is_last = threadIdx.x == THREADS - 1 || x + 1 == p.width || regions[threadIdx.x + 1] != region;
    if (at >= pixels || !is_last)
        return;
    unsigned count = threadIdx.x + 1 - first;
    atomicAdd(&list[region].area, count);
    atomicMin(&list[region].box[0], x + 1 - count);
    atomicMin(&list[region].box[1], y);
    atomicMax(&list[region].box[2], x + 1);
    atomicMax(&list[region].box[3], y + 1);
}
