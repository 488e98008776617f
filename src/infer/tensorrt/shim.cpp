// NVIDIA's C++ interface as plain C, for ffi.rs; this half builds plans. Compiled once against the headers of TensorRT-RTX and once
// against those of standard TensorRT (build.rs), each under a prefix and with its namespaces renamed, for both end up in one program.
// The libraries are opened by ffi.rs; their entry points come in as pointers, all else is a call through an object's table. Compiled
// without headers, its version is 0 and it builds nothing. No exception leaves it.

#include "shim.h"

extern "C" {

// As `RawBuild` of ffi.rs. Its functions may be called from several threads; what they are given lives until they return.
struct KeyholeBuild {
    void *(*create_builder)(void *logger, int32_t version);
    void *(*create_parser)(void *network, void *logger, int version);
    const void *model;
    size_t model_bytes;
    // Files that the model names lie in this file's folder; null: it names none.
    const char *model_path;
    // What TensorRT-RTX makes the plan for: 10·major + minor.
    const int32_t *capabilities;
    size_t capability_count;
    int32_t is_tf32_allowed;
    // Of an earlier build, may be empty. Standard TensorRT's only.
    const void *timings;
    size_t timings_bytes;
    void *context;
    KeyholeLogged logged;
    void (*refused)(void *context, int32_t node, const char *name, const char *op, const char *reason);
    // Gives the open sides of an input their sizes.
    void (*opened)(void *context, const char *name, int64_t *sides, size_t count);
    // 0: stop here.
    int32_t (*parsed)(void *context, const KeyholeTensor *tensors, size_t count);
    void (*began)(void *context, const char *phase, const char *parent, int32_t steps);
    // 0: stop here.
    int32_t (*stepped)(void *context, const char *phase, int32_t step);
    void (*ended)(void *context, const char *phase);
    void (*built)(void *context, const void *plan, size_t bytes);
    void (*timed)(void *context, const void *timings, size_t bytes);
};

// What a build came to; as `Outcome` of ffi.rs.
enum {
    KEYHOLE_BUILT = 0,
    KEYHOLE_NO_BUILDER = 1,
    KEYHOLE_REFUSED = 2,
    KEYHOLE_UNWANTED = 3,
    KEYHOLE_NOT_BUILT = 4,
};

// Both are checked by ffi.rs before anything else is called.
int32_t EXPORTED(version)() noexcept;
int32_t EXPORTED(parser_version)() noexcept;
int32_t EXPORTED(build)(const KeyholeBuild *build) noexcept;
}

#if __has_include(<NvInfer.h>)

#include <NvOnnxParser.h>
#include <memory>
#include <vector>

namespace {

using namespace nvinfer1;

class Monitor final : public IProgressMonitor {
public:
    explicit Monitor(const KeyholeBuild &build) : build(build) {}

    void phaseStart(char const *phase, char const *parent, int32_t steps) noexcept override
    {
        build.began(build.context, phase, parent, steps);
    }

    bool stepComplete(char const *phase, int32_t step) noexcept override
    {
        return build.stepped(build.context, phase, step) != 0;
    }

    void phaseFinish(char const *phase) noexcept override
    {
        build.ended(build.context, phase);
    }

private:
    const KeyholeBuild &build;
};

KeyholeTensor described(const ITensor &tensor, bool is_input)
{
    return described(tensor.getName(), tensor.getType(), is_input, tensor.getDimensions());
}

void fix_open_sides(ITensor &input, const KeyholeBuild &build)
{
    Dims sides = input.getDimensions();
    const auto is_open = [](int64_t side) { return side < 0; };
    if (sides.nbDims > 0 && std::any_of(sides.d, sides.d + sides.nbDims, is_open)) {
        build.opened(build.context, input.getName(), sides.d, static_cast<size_t>(sides.nbDims));
        input.setDimensions(sides);
    }
}

int32_t built(const KeyholeBuild &build)
{
    Logger logger(build.context, build.logged);
    Monitor monitor(build);
    // Destroyed in the reverse order, as the interface asks.
    const std::unique_ptr<IBuilder> builder(static_cast<IBuilder *>(build.create_builder(&logger, NV_TENSORRT_VERSION)));
    if (!builder) {
        return KEYHOLE_NO_BUILDER;
    }
    const std::unique_ptr<INetworkDefinition> network(builder->createNetworkV2(0));
    const std::unique_ptr<IBuilderConfig> config(builder->createBuilderConfig());
    if (!network || !config) {
        return KEYHOLE_NO_BUILDER;
    }
    const std::unique_ptr<nvonnxparser::IParser> parser(
        static_cast<nvonnxparser::IParser *>(build.create_parser(network.get(), &logger, NV_ONNX_PARSER_VERSION)));
    if (!parser) {
        return KEYHOLE_NO_BUILDER;
    }
    if (!parser->parse(build.model, build.model_bytes, build.model_path)) {
        for (int i = 0; i < parser->getNbErrors(); ++i) {
            const nvonnxparser::IParserError &error = *parser->getError(i);
            build.refused(build.context, error.node(), error.nodeName(), error.nodeOperator(), error.desc());
        }
        return KEYHOLE_REFUSED;
    }

    std::vector<KeyholeTensor> tensors;
    for (int32_t i = 0; i < network->getNbInputs(); ++i) {
        fix_open_sides(*network->getInput(i), build);
        tensors.push_back(described(*network->getInput(i), true));
    }
    for (int32_t i = 0; i < network->getNbOutputs(); ++i) {
        tensors.push_back(described(*network->getOutput(i), false));
    }
    if (build.parsed(build.context, tensors.data(), tensors.size()) == 0) {
        return KEYHOLE_UNWANTED;
    }

    if (build.is_tf32_allowed == 0) {
        config->clearFlag(BuilderFlag::kTF32);
    }
    config->setProgressMonitor(&monitor);
#ifdef TRT_MAJOR_RTX
    if (!config->setNbComputeCapabilities(static_cast<int32_t>(build.capability_count))) {
        return KEYHOLE_NO_BUILDER;
    }
    for (size_t i = 0; i < build.capability_count; ++i) {
        if (!config->setComputeCapability(static_cast<ComputeCapability>(build.capabilities[i]), static_cast<int32_t>(i))) {
            return KEYHOLE_NO_BUILDER;
        }
    }
#else
    const std::unique_ptr<ITimingCache> timings(config->createTimingCache(build.timings, build.timings_bytes));
    const bool is_timed = timings && config->setTimingCache(*timings, false);
#endif
    const std::unique_ptr<IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
    if (!plan) {
        return KEYHOLE_NOT_BUILT;
    }
    build.built(build.context, plan->data(), plan->size());
#ifndef TRT_MAJOR_RTX
    const std::unique_ptr<IHostMemory> kept(is_timed ? timings->serialize() : nullptr);
    if (kept) {
        build.timed(build.context, kept->data(), kept->size());
    }
#endif
    return KEYHOLE_BUILT;
}

} // namespace

int32_t EXPORTED(version)() noexcept
{
    return NV_TENSORRT_VERSION;
}

int32_t EXPORTED(parser_version)() noexcept
{
    return NV_ONNX_PARSER_VERSION;
}

int32_t EXPORTED(build)(const KeyholeBuild *build) noexcept
{
    try {
        return built(*build);
    } catch (...) {
        build->logged(build->context, 0, "an exception was thrown");
        return KEYHOLE_NOT_BUILT;
    }
}

#else

int32_t EXPORTED(version)() noexcept
{
    return 0;
}

int32_t EXPORTED(parser_version)() noexcept
{
    return 0;
}

int32_t EXPORTED(build)(const KeyholeBuild *) noexcept
{
    return KEYHOLE_NO_BUILDER;
}

#endif
