// NVIDIA's C++ interface as plain C, for ffi.rs; this half runs plans on the current CUDA context's device. Without a CUDA driver
// nothing of it may be called: some libraries crash then. As shim.cpp otherwise.

#include "shim.h"

// The two kinds' are two types, and the linker must not take one's functions for the other's.
#define KeyholeRun EXPORTED(run)

extern "C" {

// An opened plan.
struct KeyholeRun;

// As `RawOpen` of ffi.rs; all of it but the plan's bytes lives until the run is closed.
struct KeyholeOpen {
    void *(*create_runtime)(void *logger, int32_t version);
    const void *plan;
    size_t bytes;
    void *context;
    KeyholeLogged logged;
};

// What TensorRT-RTX says of a plan's header: 0 to run, 1 to run more slowly than it could, 2 not to run for `reasons`
// (EngineInvalidityDiagnostics); -1: nothing, as standard TensorRT.
int32_t EXPORTED(judge)(const KeyholeOpen *open, uint64_t *reasons) noexcept;
// Null: refused.
KeyholeRun *EXPORTED(open)(const KeyholeOpen *open) noexcept;
void EXPORTED(describe)(const KeyholeRun *run, void *context, void (*told)(void *context, const KeyholeTensor *tensor)) noexcept;
// Of the device's memory, for what lies between inputs and outputs.
int64_t EXPORTED(device_bytes)(const KeyholeRun *run) noexcept;
// 0: refused. An address of the device, for all runs to come.
int32_t EXPORTED(bind)(KeyholeRun *run, const char *name, void *address) noexcept;
// 0: refused. Returns before the device is done.
int32_t EXPORTED(enqueue)(KeyholeRun *run, void *stream) noexcept;
// Null is nothing.
void EXPORTED(close)(KeyholeRun *run) noexcept;
}

#if __has_include(<NvInfer.h>)

#include <memory>

// Destroyed in the reverse order, as the interface asks.
struct KeyholeRun {
    Logger logger;
    std::unique_ptr<nvinfer1::IRuntime> runtime;
    std::unique_ptr<nvinfer1::ICudaEngine> engine;
    std::unique_ptr<nvinfer1::IExecutionContext> execution;

    explicit KeyholeRun(const KeyholeOpen &open)
        : logger(open.context, open.logged),
          runtime(static_cast<nvinfer1::IRuntime *>(open.create_runtime(&logger, NV_TENSORRT_VERSION)))
    {
    }
};

int32_t EXPORTED(judge)(const KeyholeOpen *open, uint64_t *reasons) noexcept
{
#ifdef TRT_MAJOR_RTX
    try {
        const KeyholeRun run(*open);
        if (run.runtime && static_cast<int64_t>(open->bytes) >= run.runtime->getEngineHeaderSize()) {
            return static_cast<int32_t>(run.runtime->getEngineValidity(open->plan, static_cast<int64_t>(open->bytes), reasons));
        }
    } catch (...) {
        open->logged(open->context, 0, "an exception was thrown");
    }
    *reasons = static_cast<uint64_t>(nvinfer1::EngineInvalidityDiagnostics::kMALFORMED_ENGINE);
    return 2;
#else
    static_cast<void>(open);
    static_cast<void>(reasons);
    return -1;
#endif
}

KeyholeRun *EXPORTED(open)(const KeyholeOpen *open) noexcept
{
    try {
        std::unique_ptr<KeyholeRun> run(new KeyholeRun(*open));
        if (!run->runtime) {
            return nullptr;
        }
        run->engine.reset(run->runtime->deserializeCudaEngine(open->plan, open->bytes));
        if (!run->engine) {
            return nullptr;
        }
        run->execution.reset(run->engine->createExecutionContext());
        return run->execution ? run.release() : nullptr;
    } catch (...) {
        open->logged(open->context, 0, "an exception was thrown");
        return nullptr;
    }
}

void EXPORTED(describe)(const KeyholeRun *run, void *context, void (*told)(void *context, const KeyholeTensor *tensor)) noexcept
{
    for (int32_t i = 0; i < run->engine->getNbIOTensors(); ++i) {
        const char *name = run->engine->getIOTensorName(i);
        const bool is_input = run->engine->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
        const KeyholeTensor tensor = described(name, run->engine->getTensorDataType(name), is_input, run->engine->getTensorShape(name));
        told(context, &tensor);
    }
}

int64_t EXPORTED(device_bytes)(const KeyholeRun *run) noexcept
{
    return run->engine->getDeviceMemorySizeV2();
}

int32_t EXPORTED(bind)(KeyholeRun *run, const char *name, void *address) noexcept
{
    return run->execution->setTensorAddress(name, address);
}

int32_t EXPORTED(enqueue)(KeyholeRun *run, void *stream) noexcept
{
    return run->execution->enqueueV3(static_cast<cudaStream_t>(stream));
}

void EXPORTED(close)(KeyholeRun *run) noexcept
{
    delete run;
}

#else

int32_t EXPORTED(judge)(const KeyholeOpen *, uint64_t *) noexcept
{
    return -1;
}

KeyholeRun *EXPORTED(open)(const KeyholeOpen *) noexcept
{
    return nullptr;
}

void EXPORTED(describe)(const KeyholeRun *, void *, void (*)(void *, const KeyholeTensor *)) noexcept {}

int64_t EXPORTED(device_bytes)(const KeyholeRun *) noexcept
{
    return 0;
}

int32_t EXPORTED(bind)(KeyholeRun *, const char *, void *) noexcept
{
    return 0;
}

int32_t EXPORTED(enqueue)(KeyholeRun *, void *) noexcept
{
    return 0;
}

void EXPORTED(close)(KeyholeRun *) noexcept {}

#endif
