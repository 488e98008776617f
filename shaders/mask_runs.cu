// One pass: labels and class mask → the list of stretches, row after row as one line, in which both stay the same: all of them in a
// few thousand numbers of 16 bits. track::cuda::runs reads it. Stretches end at the ends of chunks of THREADS pixels, too.
//
// mask_runs_count  in   labels, mask  width·height bytes each: 0 nothing, 255 instrument, else a tissue's class id, which is the
//                                     mask's as well; class ids
//                  out  counts        a number a block: how many stretches begin there
// mask_runs_list   in   labels, mask, counts
//                  out  runs          a number a stretch: the place of its first pixel in its chunk · 256 + which pair of label and class
//                                     it has
//                       total         how many there are
//
// One thread a pixel, THREADS to a block.

#define THREADS 256
#define NOTHING 0
#define INSTRUMENT 255

struct RunParams {
    unsigned pixels;
    // Of a class id in the mask: which pair it stands for where the label says nothing, tissue, instrument.
    unsigned char pairs[3][256];
};

__device__ unsigned char pair_of(const RunParams *p, const unsigned char *labels, const unsigned char *mask, unsigned at)
{
    unsigned kind = labels[at] == NOTHING ? 0 : labels[at] == INSTRUMENT ? 2 : 1;
    return p->pairs[kind][mask[at]];
}

__device__ unsigned begins(const RunParams *p, const unsigned char *labels, const unsigned char *mask, unsigned at)
{
    if (at >= p->pixels)
        return 0;
    return threadIdx.x == 0 || pair_of(p, labels, mask, at) != pair_of(p, labels, mask, at - 1) ? 1 : 0;
}

extern "C" __global__ void mask_runs_count(const __grid_constant__ RunParams p, const unsigned char *labels, const unsigned char *mask,
                                           unsigned *counts)
{
    __shared__ unsigned room[SUM_ROOM(THREADS)];
    unsigned whole;
    sum_before<THREADS>(begins(&p, labels, mask, blockIdx.x * THREADS + threadIdx.x), room, &whole);
    if (threadIdx.x == 0)
        counts[blockIdx.x] = whole;
}

extern "C" __global__ void mask_runs_list(const __grid_constant__ RunParams p, const unsigned char *labels, const unsigned char *mask,
                                          const unsigned *counts, unsigned short *runs, unsigned *total)
{
    __shared__ unsigned room[SUM_ROOM(THREADS)];
    unsigned share = 0, before, whole;
    for (unsigned block = threadIdx.x; block < blockIdx.x; block += THREADS)
        share += counts[block];
    sum_before<THREADS>(share, room, &before);
    unsigned at = blockIdx.x * THREADS + threadIdx.x;
    unsigned is_first = begins(&p, labels, mask, at);
    unsigned place = before + sum_before<THREADS>(is_first, room, &whole);
    if (is_first)
        runs[place] = (unsigned short)(threadIdx.x << 8 | pair_of(&p, labels, mask, at));
    if (threadIdx.x == 0 && blockIdx.x + 1 == gridDim.x)
        *total = before + whole;
}
