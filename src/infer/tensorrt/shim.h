// What both halves of the shim share: plain C, the logger, and how a tensor is described.
#pragma once

#include <cstddef>
#include <cstdint>

#define JOINED(prefix, name) prefix##_##name
#define JOIN(prefix, name) JOINED(prefix, name)
#define EXPORTED(name) JOIN(KEYHOLE_PREFIX, name)

extern "C" {

struct KeyholeTensor {
    const char *name;
    const char *type;
    int32_t is_input;
    int32_t side_count;
    // -1: open.
    int64_t sides[8];
};

// Severity 0 and 1 are errors, 2 is a warning; less is not told.
typedef void (*KeyholeLogged)(void *context, int32_t severity, const char *text);
}

#if __has_include(<NvInfer.h>)

#include <NvInfer.h>
#include <algorithm>

namespace {

class Logger final : public nvinfer1::ILogger {
public:
    Logger(void *context, KeyholeLogged logged) : context(context), logged(logged) {}

    void log(Severity severity, nvinfer1::AsciiChar const *text) noexcept override
    {
        if (severity <= Severity::kWARNING) {
            logged(context, static_cast<int32_t>(severity), text);
        }
    }

private:
    void *context;
    KeyholeLogged logged;
};

const char *type_name(nvinfer1::DataType type)
{
    using nvinfer1::DataType;
    switch (type) {
    case DataType::kFLOAT: return "float32";
    case DataType::kHALF: return "float16";
    case DataType::kBF16: return "bfloat16";
    case DataType::kINT8: return "int8";
    case DataType::kUINT8: return "uint8";
    case DataType::kINT32: return "int32";
    case DataType::kINT64: return "int64";
    case DataType::kBOOL: return "bool";
    default: return "a type of fewer than 8 bits, or an 8-bit float";
    }
}

KeyholeTensor described(const char *name, nvinfer1::DataType type, bool is_input, const nvinfer1::Dims &sides)
{
    KeyholeTensor described{name, type_name(type), is_input, sides.nbDims, {}};
    std::copy_n(sides.d, std::max(sides.nbDims, 0), described.sides);
    return described;
}

} // namespace

#endif
