// Runs a kernel of shaders/*.cu on the CPU, as g++ compiles it, so that the tests can hold it to its reference in Rust on
// machines without a GPU. A wrapper file includes this, then the kernel, then says ON_CPU(entry) for each of its entries.
//
// Found by it: wrong indices, wrong arithmetic, a barrier that some threads of a block never reach, undefined shifts and
// overflows (the compiler traps them), and most missing barriers, because the tests run each launch with the threads of a
// block, and the blocks, once forwards and once backwards.
// Not found by it: races inside one step between barriers that both orders happen to agree on, everything about warps, the
// GPU's memory model, its own expf and atan2 (last bits), fused operations, limits of registers and shared memory, speed.
#pragma once
#include <cmath>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <utility>

#define __global__
#define __device__ static
#define __constant__ static const
#define __shared__ static __attribute__((section("shared_room")))
#define __grid_constant__
#define __restrict__
#define __forceinline__ inline
#define __launch_bounds__(threads)

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;

// All shared memory, dynamic one first. No block may rely on what stands there before it has written.
static const unsigned SHARED_BYTES = 48 * 1024;
__shared__ __attribute__((used)) float shared_memory[SHARED_BYTES / sizeof(float)];
extern char __start_shared_room[] __attribute__((visibility("hidden"))), __stop_shared_room[] __attribute__((visibility("hidden")));
#define DYNAMIC_SHARED(name) float *name = shared_memory

static float __uint_as_float(unsigned bits) { float v; memcpy(&v, &bits, 4); return v; }
static unsigned __float_as_uint(float v) { unsigned bits; memcpy(&bits, &v, 4); return bits; }
template <class T> static T min(T a, T b) { return b < a ? b : a; }
template <class T> static T max(T a, T b) { return a < b ? b : a; }
static int __ffsll(long long bits) { return __builtin_ffsll(bits); }
static unsigned atomicAdd(unsigned *at, unsigned v) { unsigned old = *at; *at = old + v; return old; }
static unsigned atomicOr(unsigned *at, unsigned v) { unsigned old = *at; *at = old | v; return old; }
static unsigned atomicMin(unsigned *at, unsigned v) { unsigned old = *at; *at = v < old ? v : old; return old; }
static unsigned atomicMax(unsigned *at, unsigned v) { unsigned old = *at; *at = v > old ? v : old; return old; }

// One fibre a thread; between two barriers each runs alone. Contexts only start a fibre: changing between running ones by jumps
// needs no system call.
static const unsigned MOST_THREADS = 1024;
static const size_t STACK_BYTES = 64 * 1024;
struct Fibre {
    ucontext_t start;
    jmp_buf place;
    bool has_started, is_done;
};
static Fibre fibres[MOST_THREADS];
static jmp_buf scheduler;
static unsigned running;
static void (*thread_body)(void **);
static void **thread_arguments;

static void pause_fibre()
{
    if (_setjmp(fibres[running].place) == 0)
        _longjmp(scheduler, 1);
}

static void __syncthreads() { pause_fibre(); }

// Runs a thread of one block after the other.
static void fibre_main()
{
    while (true) {
        thread_body(thread_arguments);
        fibres[running].is_done = true;
        pause_fibre();
    }
}

// Runs the fibre up to its next barrier or its end.
static __attribute__((noinline)) void resume(Fibre *fibre)
{
    if (_setjmp(scheduler) != 0)
        return;
    if (fibre->has_started)
        _longjmp(fibre->place, 1);
    fibre->has_started = true;
    setcontext(&fibre->start);
}

static void start_fibres(unsigned count)
{
    // Kept from launch to launch: what is touched of them need not be found anew.
    static char *stacks = (char *)malloc(MOST_THREADS * STACK_BYTES);
    for (unsigned i = 0; i < count; i++) {
        fibres[i].has_started = false;
        getcontext(&fibres[i].start);
        fibres[i].start.uc_stack.ss_sp = stacks + i * STACK_BYTES;
        fibres[i].start.uc_stack.ss_size = STACK_BYTES;
        fibres[i].start.uc_link = nullptr;
        makecontext(&fibres[i].start, fibre_main, 0);
    }
}

// 0, or what is wrong: 1 a size that no GPU takes, 2 a barrier that some threads did not reach.
static int run_block(unsigned count, bool backwards)
{
    for (unsigned i = 0; i < count; i++)
        fibres[i].is_done = false;
    for (unsigned left = count; left > 0;) {
        unsigned waiting = 0;
        for (unsigned k = 0; k < count; k++) {
            running = backwards ? count - 1 - k : k;
            if (fibres[running].is_done)
                continue;
            threadIdx = {running % blockDim.x, running / blockDim.x % blockDim.y, running / (blockDim.x * blockDim.y)};
            resume(&fibres[running]);
            if (!fibres[running].is_done)
                waiting++;
        }
        // On a GPU a thread that has ended counts as arrived only by the grace of newer cards: refused here.
        if (waiting > 0 && waiting != count)
            return 2;
        left = waiting;
    }
    return 0;
}

static int run_grid(void (*body)(void **), const unsigned *grid, const unsigned *block, unsigned shared_bytes, void **arguments, int backwards)
{
    unsigned long count = (unsigned long)block[0] * block[1] * block[2];
    if (count == 0 || count > MOST_THREADS || block[2] > 64 || shared_bytes > SHARED_BYTES)
        return 1;
    if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0 || grid[1] > 65535 || grid[2] > 65535)
        return 1;
    thread_body = body;
    thread_arguments = arguments;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    start_fibres(count);
    unsigned long blocks = (unsigned long)grid[0] * grid[1] * grid[2];
    int wrong = 0;
    for (unsigned long k = 0; k < blocks && wrong == 0; k++) {
        unsigned long at = backwards ? blocks - 1 - k : k;
        blockIdx = {(unsigned)(at % grid[0]), (unsigned)(at / grid[0] % grid[1]), (unsigned)(at / grid[0] / grid[1])};
        memset(__start_shared_room, 0xa5, __stop_shared_room - __start_shared_room);
        wrong = run_block(count, backwards);
    }
    return wrong;
}

// Arguments as cuLaunchKernel takes them: a pointer to each.
template <class... A, size_t... I>
static void call_with(void (*kernel)(A...), void **arguments, std::index_sequence<I...>)
{
    kernel(*(A *)arguments[I]...);
}

template <class... A>
static void call(void (*kernel)(A...), void **arguments)
{
    call_with(kernel, arguments, std::index_sequence_for<A...>{});
}

#define ON_CPU(entry)                                                                                                          \
    extern "C" int entry##_on_cpu(const unsigned *grid, const unsigned *block, unsigned shared_bytes, void **arguments,       \
                                  int backwards)                                                                              \
    {                                                                                                                          \
        return run_grid([](void **all) { call(entry, all); }, grid, block, shared_bytes, arguments, backwards);                \
    }
