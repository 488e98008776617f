// A CUDA driver without a device, for tests of what is built on one: memory is the host's, and work is done as late as can be: when
// somebody waits for it. What it is to say of itself stands in the environment. A kernel `add` it has itself, which adds a number to
// each of `count` bytes, and two that no device survives: `endless` and `lose`; others are run as they were compiled for the processor
// (on_cpu.h): TEST_CUDA_KERNELS is the folder of those libraries. Built by frame/cuda/testing.rs; holds nothing of NVIDIA's but the
// names of the functions.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

using Result = int;
using Pointer = unsigned long long;
enum { OK = 0, BAD_VALUE = 1, NO_MEMORY = 2, NO_DEVICE = 100, NO_CONTEXT = 201, NOT_FOUND = 500, NOT_READY = 600, LOST = 719, NOT_SUPPORTED = 801 };

static long setting(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

// How often one kernel was run at most: about as many frames have been here.
static std::atomic<long> frames = 0;

// TEST_CUDA_LOST: it is gone. TEST_CUDA_LASTS: it is after so many frames.
static bool is_lost() { return setting("TEST_CUDA_LOST", 0) || frames >= setting("TEST_CUDA_LASTS", 1L << 40); }

// TEST_CUDA_HANGS: after so many frames nothing that it is told is done any more.
static bool hangs() { return frames >= setting("TEST_CUDA_HANGS", 1L << 40); }

// Told by one thread at a time, waited for by any. One that was destroyed stays: an event may still tell of it.
struct Stream {
    bool recording = false, at_once = false;
    std::vector<std::function<void()>> recorded;
    std::atomic<uint64_t> queued = 0, done = 0;

    void tell(std::function<void()> step) {
        std::lock_guard alone(of_waiting);
        waiting.push_back(step);
        queued++;
    }
    void work(uint64_t until) {
        while (done < until) {
            while (hangs()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
            std::lock_guard alone(at_work);
            if (done < until && !hangs()) do_one();
        }
    }
    // One step of it, unless another thread is at it.
    void work_a_little(uint64_t until) {
        std::unique_lock alone(at_work, std::try_to_lock);
        if (alone && done < until && !hangs()) do_one();
    }

private:
    std::deque<std::function<void()>> waiting;
    std::mutex of_waiting, at_work;

    void do_one() {
        std::unique_lock alone(of_waiting);
        auto step = waiting.front();
        waiting.pop_front();
        alone.unlock();
        step();
        done++;
    }
};
struct Event {
    Stream *stream = nullptr;
    uint64_t at = 0;
    bool sleeps = false;

    void wait() {
        if (stream) stream->work(at);
    }
};
struct Function;
struct Graph {
    std::vector<std::function<void()>> steps;
    // Of each step that was added by itself; null: it is no kernel's. Empty: they were recorded.
    std::vector<const Function *> kernels;
};
struct MemsetNode {
    Pointer to;
    size_t pitch;
    unsigned value, element_size;
    size_t width, height;
};

// What there is once stays until the process is gone: threads may be in here while it ends.
static int contexts[16];
static auto &streams = *new std::set<Stream *>;
static std::mutex of_streams;
static thread_local void *current = nullptr;
static std::atomic<long> taken = 0;

#define API extern "C" __attribute__((visibility("default"))) Result

API cuDriverGetVersion(int *version) { *version = setting("TEST_CUDA_VERSION", 13000); return OK; }
// What NVRTC asks a driver for that it finds: there is nothing.
API cuGetExportTable(const void **table, const void *) { *table = nullptr; return NOT_FOUND; }
API cuInit(unsigned) { return setting("TEST_CUDA_DEVICES", 1) < 0 ? NO_DEVICE : OK; }
API cuDeviceGetCount(int *count) { *count = setting("TEST_CUDA_DEVICES", 1); return OK; }
API cuDeviceGet(int *device, int ordinal) { *device = ordinal; return OK; }
API cuDeviceGetName(char *name, int length, int device) { snprintf(name, length, "Test card %d", device); return OK; }
// TEST_CUDA_UUID: 32 hexadecimal digits, of the first device.
API cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    const char *text = getenv("TEST_CUDA_UUID");
    memset(uuid, 0x11 + device, 16);
    for (int i = 0; text && device == 0 && i < 16; i++) sscanf(text + 2 * i, "%2hhx", uuid + i);
    return OK;
}
API cuDeviceTotalMem_v2(size_t *bytes, int) { *bytes = setting("TEST_CUDA_MEMORY", 1 << 30); return OK; }
API cuDeviceGetAttribute(int *value, int which, int) {
    long capability = setting("TEST_CUDA_CAPABILITY", 90);
    *value = which == 75 ? capability / 10 : which == 76 ? capability % 10 : 0;
    return OK;
}

API cuDevicePrimaryCtxRetain(void **context, int device) { *context = &contexts[device]; return OK; }
API cuDevicePrimaryCtxRelease_v2(int) { return OK; }
API cuCtxGetCurrent(void **context) { *context = current; return OK; }
API cuCtxSetCurrent(void *context) { current = context; return OK; }
API cuCtxSetFlags(unsigned) { return OK; }
API cuCtxSynchronize() {
    std::unique_lock alone(of_streams);
    auto all = streams;
    alone.unlock();
    for (auto stream : all) stream->work(stream->queued);
    return OK;
}
API cuCtxGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = -5; return OK; }

API cuMemAlloc_v2(Pointer *pointer, size_t bytes) {
    if (!current || taken + (long)bytes > setting("TEST_CUDA_MEMORY", 1 << 30)) return NO_MEMORY;
    taken += bytes;
    *pointer = (Pointer)malloc(bytes);
    memset((void *)*pointer, 0xc3, bytes);
    return OK;
}
API cuMemGetInfo_v2(size_t *free, size_t *total) {
    *total = setting("TEST_CUDA_MEMORY", 1 << 30);
    *free = *total - taken;
    return OK;
}

// Memory of Mesa's software device: its descriptor is a file that starts with two numbers, its size and where the memory begins.
struct External {
    char *file;
    size_t header[2];
};
struct ExternalDescription {
    int type;
    union {
        int fd;
        void *names[2];
    } handle;
    unsigned long long size;
    unsigned flags, reserved[16];
};
static auto &mapped = *new std::set<Pointer>;
static std::mutex of_mapped;
API cuImportExternalMemory(External **memory, const ExternalDescription *wanted) {
    External found;
    int fd = wanted->handle.fd;
    if (!current || wanted->type != 1 || wanted->flags != 1) return BAD_VALUE;
    // Mapped: a confined process does not read files.
    size_t *start = (size_t *)mmap(nullptr, sizeof found.header, PROT_READ, MAP_SHARED, fd, 0);
    if (start == MAP_FAILED) return BAD_VALUE;
    memcpy(found.header, start, sizeof found.header);
    munmap(start, sizeof found.header);
    if (found.header[0] < found.header[1] + wanted->size) return BAD_VALUE;
    found.file = (char *)mmap(nullptr, found.header[0], PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (found.file == MAP_FAILED) return BAD_VALUE;
    close(fd);
    *memory = new External(found);
    return OK;
}
API cuExternalMemoryGetMappedBuffer(Pointer *pointer, External *memory, const unsigned long long *wanted) {
    auto [offset, size] = std::pair(wanted[0], wanted[1]);
    if (memory->header[1] + offset + size > memory->header[0]) return BAD_VALUE;
    std::lock_guard alone(of_mapped);
    mapped.insert(*pointer = (Pointer)memory->file + memory->header[1] + offset);
    return OK;
}
API cuDestroyExternalMemory(External *memory) {
    munmap(memory->file, memory->header[0]);
    delete memory;
    return OK;
}
API cuMemFree_v2(Pointer pointer) {
    std::lock_guard alone(of_mapped);
    if (!mapped.erase(pointer)) free((void *)pointer);
    return OK;
}
// Flags: what is read back must not be write-combined (4).
API cuMemHostAlloc(void **pointer, size_t bytes, unsigned flags) {
    if (flags) return BAD_VALUE;
    *pointer = malloc(bytes);
    return OK;
}
API cuMemFreeHost(void *pointer) { free(pointer); return OK; }
// Of memory that is mapped for reading only, in whole pages, and that is still there when it is undone.
static auto &registered = *new std::map<void *, size_t>;
static std::mutex of_registered;
API cuMemHostRegister_v2(void *start, size_t bytes, unsigned flags) {
    if (setting("TEST_CUDA_REGISTERS", 1) == 0) return NOT_SUPPORTED;
    std::lock_guard alone(of_registered);
    if (flags != 8 || (size_t)start % 4096 || bytes % 4096 || !registered.insert({start, bytes}).second) return BAD_VALUE;
    return OK;
}
API cuMemHostUnregister(void *start) {
    volatile char still_there = *(char *)start;
    (void)still_there;
    std::lock_guard alone(of_registered);
    return registered.erase(start) ? OK : BAD_VALUE;
}
API cuMemsetD8_v2(Pointer to, unsigned char value, size_t bytes) { memset((void *)to, value, bytes); return OK; }

static Result queue(Stream *stream, std::function<void()> step) {
    if (!current) return BAD_VALUE;
    if (stream->recording) {
        stream->recorded.push_back(step);
    } else if (setting("TEST_CUDA_AT_ONCE", 0)) {
        step();
    } else {
        stream->tell(step);
    }
    return OK;
}

API cuMemcpyHtoDAsync_v2(Pointer to, const void *from, size_t bytes, Stream *stream) {
    return queue(stream, [=] { memcpy((void *)to, from, bytes); });
}
API cuMemcpyDtoHAsync_v2(void *to, Pointer from, size_t bytes, Stream *stream) {
    return queue(stream, [=] { memcpy(to, (void *)from, bytes); });
}
API cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t bytes, Stream *stream) {
    return queue(stream, [=] { memmove((void *)to, (void *)from, bytes); });
}
API cuMemsetD8Async(Pointer to, unsigned char value, size_t bytes, Stream *stream) {
    return queue(stream, [=] { memset((void *)to, value, bytes); });
}

// The worker's streams have the lowest priority, 0.
API cuStreamCreateWithPriority(Stream **stream, unsigned, int priority) {
    if (priority > 0 || priority < -5) return BAD_VALUE;
    std::lock_guard alone(of_streams);
    streams.insert(*stream = new Stream);
    return OK;
}
API cuStreamDestroy_v2(Stream *stream) {
    stream->work(stream->queued);
    std::lock_guard alone(of_streams);
    streams.erase(stream);
    return OK;
}
API cuStreamSynchronize(Stream *stream) {
    stream->work(stream->queued);
    return is_lost() ? LOST : OK;
}
API cuStreamWaitEvent(Stream *stream, Event *event, unsigned) {
    return queue(stream, [point = *event]() mutable { point.wait(); });
}
API cuStreamBeginCapture_v2(Stream *stream, int) {
    stream->recording = true;
    stream->recorded.clear();
    return OK;
}
API cuStreamEndCapture(Stream *stream, Graph **graph) {
    if (!stream->recording) return BAD_VALUE;
    stream->recording = false;
    *graph = stream->recorded.empty() ? nullptr : new Graph{stream->recorded, {}};
    return OK;
}
API cuStreamIsCapturing(Stream *stream, int *status) { *status = stream->recording; return OK; }
API cuLaunchHostFunc(Stream *stream, void (*function)(void *), void *argument) {
    return queue(stream, [=] { function(argument); });
}
API cuGraphInstantiateWithFlags(Graph **exec, Graph *graph, unsigned long long) {
    *exec = new Graph(*graph);
    return OK;
}
API cuGraphLaunch(Graph *exec, Stream *stream) {
    if (!exec->kernels.empty() && setting("TEST_CUDA_GRAPHS", 1) == 2) return NO_MEMORY;
    if (!exec->kernels.empty() && setting("TEST_CUDA_GRAPHS", 1) == 3) return OK;
    return queue(stream, [steps = exec->steps] {
        for (auto &step : steps) step();
    });
}
// Made step by step, each after the one before; TEST_CUDA_GRAPHS=0: not by this driver; 2: it has no room to begin one; 3: it begins none,
// and does not say so.
API cuGraphCreate(Graph **graph, unsigned) {
    *graph = new Graph;
    return setting("TEST_CUDA_GRAPHS", 1) ? OK : NOT_SUPPORTED;
}
static Result add_node(size_t *node, Graph *graph, const size_t *before, size_t count, std::function<void()> step,
                       const Function *kernel = nullptr) {
    if (!current || count != (graph->steps.empty() ? 0 : 1) || (count && *before != graph->steps.size())) return BAD_VALUE;
    graph->steps.push_back(step);
    graph->kernels.push_back(kernel);
    *node = graph->steps.size();
    return OK;
}
API cuGraphAddMemsetNode(size_t *node, Graph *graph, const size_t *before, size_t count, const MemsetNode *set, void *context) {
    if (set->element_size != 1 || set->height != 1 || set->width == 0 || !context) return BAD_VALUE;
    return add_node(node, graph, before, count, [set = *set] { memset((void *)set.to, set.value, set.width); });
}
API cuGraphAddChildGraphNode(size_t *node, Graph *graph, const size_t *before, size_t count, Graph *child) {
    return add_node(node, graph, before, count, [steps = child->steps] {
        for (auto &step : steps) step();
    });
}
API cuGraphExecDestroy(Graph *exec) { delete exec; return OK; }
API cuGraphDestroy(Graph *graph) { delete graph; return OK; }

API cuEventCreate(Event **event, unsigned flags) { *event = new Event{nullptr, 0, (flags & 1) != 0}; return OK; }
API cuEventRecord(Event *event, Stream *stream) { *event = Event{stream, stream->queued, event->sleeps}; return OK; }
API cuEventQuery(Event *event) {
    if (!current) return NO_CONTEXT;
    if (is_lost()) return LOST;
    if (!event->stream || event->stream->done >= event->at) return OK;
    // Who asks again and again waits, too.
    event->stream->work_a_little(event->at);
    return NOT_READY;
}
// A real driver would keep a core busy for one that does not sleep.
API cuEventSynchronize(Event *event) {
    event->wait();
    return event->sleeps ? OK : BAD_VALUE;
}
API cuEventDestroy_v2(Event *event) { delete event; return OK; }

// Bytes of each argument of an entry, as its PTX has them: `.param .u64 name`, or `.param .align 4 .b8 name[388]`.
static std::vector<size_t> arguments_of(const std::string &ptx, size_t at) {
    std::vector<size_t> sizes;
    size_t end = ptx.find(')', at);
    for (at = ptx.find(".param", at); at < end; at = ptx.find(".param", at + 1)) {
        std::string one = ptx.substr(at, ptx.find_first_of(",)", at) - at);
        size_t type = one.rfind(" .") + 2, array = one.find('[');
        sizes.push_back(array == std::string::npos ? atol(&one[type + 1]) / 8 : atol(&one[array + 1]));
    }
    return sizes;
}

using Entry = int (*)(const unsigned *, const unsigned *, unsigned, void **, int);
struct Function {
    std::vector<size_t> sizes;
    Entry entry;
    long runs = 0;
};
using Module = std::string;

// add(Params { unsigned count; unsigned number; }, unsigned char *bytes)
static int add(const unsigned *, const unsigned *, unsigned, void **arguments, int) {
    unsigned count = ((unsigned *)arguments[0])[0], number = ((unsigned *)arguments[0])[1];
    for (unsigned i = 0; i < count; i++) (*(unsigned char **)arguments[1])[i] += number;
    return 0;
}

// endless(): never ends, and who waits for it sleeps.
static int endless(const unsigned *, const unsigned *, unsigned, void **, int) {
    for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
}

// lose(): from then on the device is gone.
static int lose(const unsigned *, const unsigned *, unsigned, void **, int) { return setenv("TEST_CUDA_LOST", "1", 1); }

static Entry entry_of(const std::string &name) {
    static const auto &own = *new std::map<std::string, Entry>{{"add", add}, {"endless", endless}, {"lose", lose}};
    const char *folder = getenv("TEST_CUDA_KERNELS");
    if (auto found = own.find(name); found != own.end()) return found->second;
    if (!folder) return nullptr;
    for (auto &file : std::filesystem::directory_iterator(folder)) {
        void *library = dlopen(file.path().c_str(), RTLD_NOW);
        if (void *found = library ? dlsym(library, (name + "_on_cpu").c_str()) : nullptr) return (Entry)found;
    }
    return nullptr;
}

API cuModuleLoadData(void **module, const char *ptx) {
    *module = new Module(ptx);
    return strstr(ptx, ".entry ") ? OK : BAD_VALUE;
}
API cuModuleUnload(Module *module) { delete module; return OK; }
API cuModuleGetFunction(Function **function, Module *module, const char *name) {
    static auto &functions = *new std::map<std::string, Function>;
    static std::mutex alone_here;
    std::lock_guard alone(alone_here);
    size_t at = module->find(".entry " + std::string(name) + "(");
    Entry entry = entry_of(name);
    if (at == std::string::npos || !entry) return NOT_FOUND;
    *function = &(functions[name] = Function{arguments_of(*module, at), entry});
    return OK;
}
static std::function<void()> run_of(Function *function, std::vector<unsigned> grid, std::vector<unsigned> block, unsigned shared, void **arguments) {
    std::vector<std::vector<char>> values;
    for (size_t i = 0; i < function->sizes.size(); i++)
        values.emplace_back((char *)arguments[i], (char *)arguments[i] + function->sizes[i]);
    return [=]() mutable {
        std::vector<void *> places;
        for (auto &value : values) places.push_back(value.data());
        if (function->entry(grid.data(), block.data(), shared, places.data(), 0) != 0) abort();
        long runs = __atomic_add_fetch(&function->runs, 1, __ATOMIC_RELAXED), most = frames;
        while (runs > most && !frames.compare_exchange_weak(most, runs)) {}
    };
}
// What each architecture takes: of blocks at least one, and so many along each side; of threads at most 1024 a block.
static bool can_be(const unsigned *grid, const unsigned *block) {
    auto none = [](const unsigned *of) { return !of[0] || !of[1] || !of[2]; };
    uint64_t threads = (uint64_t)block[0] * block[1] * block[2];
    return !none(grid) && !none(block) && grid[0] <= 0x7fffffff && grid[1] <= 0xffff && grid[2] <= 0xffff && threads <= 1024 && block[2] <= 64;
}
API cuLaunchKernel(Function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   Stream *stream, void **arguments, void **) {
    unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
    if (!can_be(grid, block)) return BAD_VALUE;
    return queue(stream, run_of(function, {gx, gy, gz}, {bx, by, bz}, shared, arguments));
}
struct KernelNode {
    Function *function;
    unsigned grid[3], block[3], shared;
    void **arguments, **extra, *kernel, *context;

    std::function<void()> run() const {
        return run_of(function, {grid, grid + 3}, {block, block + 3}, shared, arguments);
    }
};
API cuGraphAddKernelNode_v2(size_t *node, Graph *graph, const size_t *before, size_t count, const KernelNode *kernel) {
    if (!can_be(kernel->grid, kernel->block) || kernel->extra || kernel->kernel) return BAD_VALUE;
    return add_node(node, graph, before, count, kernel->run(), kernel->function);
}
API cuGraphExecKernelNodeSetParams_v2(Graph *exec, size_t node, const KernelNode *kernel) {
    // It stays the kernel that it was.
    bool is_its = node >= 1 && node <= exec->kernels.size() && exec->kernels[node - 1] == kernel->function;
    if (!current || !is_its || !can_be(kernel->grid, kernel->block)) return BAD_VALUE;
    exec->steps[node - 1] = kernel->run();
    return OK;
}

API cuGetErrorName(int error, const char **name) {
    *name = error == NO_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : error == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_OF_THE_TEST";
    return OK;
}
API cuGetErrorString(int error, const char **text) {
    *text = error == NO_MEMORY ? "out of memory" : error == NO_DEVICE ? "no CUDA-capable device is detected" : "as the test asked for";
    return OK;
}

#include "gstreamer.h"
