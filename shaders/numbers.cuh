// In front of every kernel: numbers as tensors hold them, and whole ones that a block's threads add up.

__device__ float half_value(unsigned short bits)
{
    float value;
#ifdef __CUDACC__
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
#else
    _Float16 half;
    memcpy(&half, &bits, sizeof half);
    value = (float)half;
#endif
    return value;
}

// Number `at` of floats, or of halves.
__device__ float number_of(const void *numbers, unsigned at, bool is_half)
{
    return is_half ? half_value(((const unsigned short *)numbers)[at]) : ((const float *)numbers)[at];
}

#define SUM_GROUP 16
#define SUM_ROOM(threads) ((threads) + (threads) / SUM_GROUP)

// What all of a block's threads with a smaller number have; *whole: what all have. `room`: SUM_ROOM(threads) numbers.
template <unsigned threads> __device__ unsigned sum_before(unsigned own, unsigned *room, unsigned *whole)
{
    unsigned *groups = room + threads;
    __syncthreads();
    room[threadIdx.x] = own;
    __syncthreads();
    if (threadIdx.x < threads / SUM_GROUP) {
        unsigned sum = 0;
        for (unsigned i = threadIdx.x * SUM_GROUP; i < (threadIdx.x + 1) * SUM_GROUP; i++) {
            unsigned next = sum + room[i];
            room[i] = sum;
            sum = next;
        }
        groups[threadIdx.x] = sum;
    }
    __syncthreads();
    unsigned before = room[threadIdx.x];
    *whole = 0;
    for (unsigned group = 0; group < threads / SUM_GROUP; group++) {
        before += group < threadIdx.x / SUM_GROUP ? groups[group] : 0;
        *whole += groups[group];
    }
    return before;
}
